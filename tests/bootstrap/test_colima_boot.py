"""The script that starts Colima on a Mac, with real processes and with files like Lima's. Only the programs `colima`
and `limactl` are stand-ins, because they are not installed here."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.e2e.host import eventually

SCRIPT = ROOT / "reconciler" / "bootstrap" / "colima-boot.sh"
PATIENCE = 150
"""Seconds. The script looks at all processes of the machine, so it also waits for the same test in another clone."""
COLIMA = """#!/bin/sh
echo "$*" >> "{calls}"
lima="{lima}" instance=colima
case $1 in
    start)
        [ ! -e "{broken}" ] || exit 1
        for file in "$lima/$instance/ha.pid" "$lima/$instance/vz.pid" "$lima/_networks/user-v2/usernet_user-v2.pid"; do
            [ ! -e "$file" ] || {{ echo "$file: seems running"; exit 1; }}
        done
        ln -s "$lima/$instance" "$lima/_disks/$instance/in_use_by" || exit 1
        "{vm}" & echo $! > "$lima/$instance/ha.pid"
        cp "$lima/$instance/ha.pid" "$lima/$instance/vz.pid"
        n=0; until ps -p "$(cat "$lima/$instance/ha.pid")" -o args= | grep -q limactl || [ $n -gt 200 ]; do
            n=$((n + 1)); sleep 0.05
        done ;;
    stop) kill "$(cat "$lima/$instance/ha.pid")"; rm -f "$lima/$instance/"*.pid "$lima/_disks/$instance/in_use_by" ;;
esac
"""
"""As Colima and Lima behave: they refuse to start while files of an earlier process are there."""


class Mac:
    """A home folder with a virtual machine that exists and does not run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home, self.bin = folder / "home" / ".colima", folder / "bin"
        self.lima = self.home / "_lima"
        self.instance, self.disk, self.network = (
            self.lima / "colima", self.lima / "_disks" / "colima", self.lima / "_networks" / "user-v2",
        )  # fmt: skip
        for path in (self.instance, self.disk, self.network, self.bin, self.home / "default" / "daemon"):
            path.mkdir(parents=True)
        (self.disk / "datadisk").write_text("data")
        self.calls, self.broken, self.log = (folder / name for name in ("calls", "broken", "log"))
        self.calls.touch()
        self._started: list[subprocess.Popen[bytes]] = []
        vm = self._program("vm", f"exec -a /opt/homebrew/bin/limactl tail -f /dev/null {self.instance}/serial.log\n")
        names = {"calls": self.calls, "lima": self.lima, "broken": self.broken, "vm": vm}
        self._program("colima", COLIMA.format(**names), shell="")

    def process(self, name: str, *files: Path) -> subprocess.Popen[bytes]:
        """A real process with this name. Its command line names these files, and it has them open."""
        for file in files:
            file.touch()
        argv = [name, "-f", "/dev/null", *map(str, files)]
        return self._keep(subprocess.Popen(argv, executable=_tail(), stderr=subprocess.DEVNULL, start_new_session=True))

    def stale(self, number: int) -> list[Path]:
        """Files that a power cut leaves. `number`: in pid files; the id of an unrelated process that runs now."""
        files = [
            self.instance / "ha.pid", self.instance / "vz.pid", self.instance / "ha.sock",
            self.network / "usernet_user-v2.pid", self.network / "user-v2_fd.sock",
            self.home / "default" / "daemon" / "daemon.pid",
        ]  # fmt: skip
        for file in files:
            file.write_text(f"{number}\n")
        (self.disk / "in_use_by").symlink_to(self.instance)
        return [*files, self.disk / "in_use_by"]

    def boot(self, *arguments: str, home: Path | None = None) -> subprocess.Popen[bytes]:
        environ = {
            "PATH": f"{self.bin}:{os.environ['PATH']}", "HOME": str(self.home.parent), "COLIMA_BOOT_EVERY": "0.2",
            "COLIMA_HOME": str(home or self.home), "COLIMA_BOOT_LOG": str(self.log),
        }  # fmt: skip
        with self.log.open("ab") as log:
            return self._keep(
                subprocess.Popen(
                    ["sh", str(SCRIPT), *arguments], env=environ, stdout=log, stderr=log, start_new_session=True
                )
            )

    def said(self) -> str:
        return self.log.read_text()

    def started(self) -> list[str]:
        return self.calls.read_text().splitlines()

    def close(self) -> None:
        for process in self._started:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with its children, which would delay the next test
            process.wait()

    def _keep(self, process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        self._started.append(process)
        return process

    def _program(self, name: str, text: str, shell: str = "#!/bin/bash\n") -> Path:
        path = self.bin / name
        path.write_text(shell + text)
        path.chmod(0o755)
        return path


def _tail() -> str:
    found = shutil.which("tail")
    assert found
    return found


@pytest.fixture
def mac(tmp_path: Path) -> Iterator[Mac]:
    made = Mac(tmp_path)
    try:
        yield made
    finally:
        made.close()


def test_after_a_power_cut_the_leftovers_go_and_colima_starts(mac: Mac) -> None:
    somebody = mac.process("mail")
    files = mac.stale(somebody.pid)
    refused = subprocess.run([mac.bin / "colima", "start"], capture_output=True, text=True)
    assert (refused.returncode, "seems running" in refused.stdout) == (1, True)
    mac.calls.write_text("")
    boot = mac.boot()
    eventually(lambda: "Colima runs" in mac.said(), seconds=PATIENCE)
    assert [str(file) for file in files if f"removed {file}:" not in mac.said()] == []
    assert mac.started() == ["start default"]
    assert somebody.poll() is None
    boot.terminate()
    assert boot.wait(PATIENCE) == 0
    assert mac.started() == ["start default", "stop default"]
    assert not (mac.instance / "ha.pid").exists()


def test_nothing_is_removed_while_the_virtual_machine_runs(mac: Mac) -> None:
    machine = mac.process("/opt/homebrew/bin/limactl", mac.instance / "ha.stderr.log")
    files = mac.stale(machine.pid)
    boot = mac.boot()
    eventually(lambda: "Colima runs" in mac.said(), seconds=PATIENCE)
    assert all(file.exists() for file in files)
    assert mac.started() == []
    machine.kill()
    machine.wait()
    assert boot.wait(PATIENCE) == 1
    assert "has ended" in mac.said()
    again = mac.boot()  # as launchd does
    eventually(lambda: mac.started() == ["start default"], seconds=PATIENCE)
    assert again.poll() is None


def test_nothing_is_removed_while_something_has_the_disk_open(mac: Mac) -> None:
    if shutil.which("lsof") is None:
        pytest.skip("lsof is not installed; every Mac has it")
    reader = mac.process("com.apple.Virtualization.VirtualMachine", mac.disk / "datadisk")
    files = mac.stale(reader.pid)
    mac.boot()
    eventually(lambda: "nothing is removed" in mac.said(), seconds=PATIENCE)
    assert all(file.exists() for file in files)
    assert mac.started() == []
    reader.kill()
    reader.wait()
    eventually(lambda: "Colima runs" in mac.said(), seconds=PATIENCE)
    assert mac.said().count("nothing is removed") == 1


def test_it_waits_while_a_person_restarts_colima(mac: Mac) -> None:
    waits = mac.folder / "waits"
    waits.touch()
    person = subprocess.Popen(["sh", "-c", f"while [ -e {waits} ]; do sleep 0.1; done", "/opt/bin/colima", "restart"])
    try:
        files = mac.stale(person.pid)
        mac.boot()
        eventually(lambda: "colima restart" in mac.said(), seconds=PATIENCE)
        assert all(file.exists() for file in files)
        assert mac.started() == []
        waits.unlink()
        person.wait()
        eventually(lambda: mac.started() == ["start default"], seconds=PATIENCE)
    finally:
        person.kill()
        person.wait()


def test_files_of_another_virtual_machine_stay(mac: Mac) -> None:
    other = mac.lima / "colima-work"
    other.mkdir()
    machine = mac.process("/opt/homebrew/bin/limactl", other / "ha.pid")
    (other / "ha.pid").write_text(f"{machine.pid}\n")
    network = mac.process("/opt/homebrew/bin/limactl", mac.network / "usernet_user-v2.pid")
    (mac.disk / "in_use_by").symlink_to(other)
    mac.broken.touch()
    assert mac.boot().wait(PATIENCE) == 1
    assert (mac.disk / "in_use_by").is_symlink()
    assert "names another virtual machine" in mac.said()
    assert (other / "ha.pid").exists()
    assert (mac.network / "usernet_user-v2.pid").exists()
    assert (machine.poll(), network.poll()) == (None, None)
    assert mac.started() == ["start default"]


def test_a_failed_start_is_tried_again_by_launchd(mac: Mac) -> None:
    mac.broken.touch()
    assert mac.boot().wait(PATIENCE) == 1
    assert "Colima did not start (exit code 1)" in mac.said()


def test_another_profile_has_its_own_files(mac: Mac) -> None:
    mac.broken.touch()
    (mac.lima / "colima-work").mkdir()
    for folder in ("colima", "colima-work"):
        (mac.lima / folder / "ha.pid").write_text("1\n")
    assert mac.boot("work").wait(PATIENCE) == 1
    assert (mac.instance / "ha.pid").exists()
    assert not (mac.lima / "colima-work" / "ha.pid").exists()
    assert mac.started() == ["start work"]


def test_a_folder_behind_a_link_is_the_same_folder(mac: Mac) -> None:
    """Lima's processes name the folder with links resolved."""
    link = mac.folder / "link"
    link.symlink_to(mac.home)
    mac.process("/opt/homebrew/bin/limactl", mac.instance / "ha.pid")
    mac.boot(home=link)
    eventually(lambda: "Colima runs" in mac.said(), seconds=PATIENCE)
    assert (mac.instance / "ha.pid").exists()
    assert mac.started() == []


def test_a_signal_ends_it_at_once_while_colima_starts(mac: Mac) -> None:
    mac._program("colima", f'echo "$*" >> {mac.calls}\n[ "$1" = stop ] || exec sleep 60\n')
    boot = mac.boot()
    eventually(lambda: mac.started() == ["start default"], seconds=PATIENCE)
    boot.terminate()
    assert boot.wait(PATIENCE) == 0
    assert mac.started() == ["start default", "stop default"]


def test_the_log_is_kept_small(mac: Mac) -> None:
    mac.log.write_bytes(b"x" * 1_100_000)
    mac.broken.touch()
    assert mac.boot().wait(PATIENCE) == 1
    assert len(mac.said()) < 10_000
    assert "did not start" in mac.said()
    assert mac.log.with_suffix(".1").stat().st_size == 1_100_000


def test_shellcheck_finds_nothing() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(["shellcheck", str(SCRIPT)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
