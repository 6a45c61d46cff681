"""The change of a Mac's firewall returns by itself: the script with real processes. Only `launchctl`, `pfctl` and
`sysctl` are stand-ins, because they are not installed here."""

from __future__ import annotations

import os
import plistlib
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.bootstrap import mac_hardening
from reconciler.bootstrap.hardening import START
from reconciler.bootstrap.model import Lines, parse
from reconciler.decide.hardening import FIREWALL, PARTS, guard, mac
from tests.bootstrap.facts import WANTED, names
from tests.e2e.host import eventually

OLD, TOKEN = b"# rules before\n", "1844"
PFCTL = """echo "$*" >> {folder}/calls
case "$*" in
-n*) test ! -e {folder}/wrong ;;
-E*) echo "Token : {token}" >&2; if [ -e {folder}/slow ]; then sleep 60; fi ;;
esac
"""
LAUNCHCTL = """echo "$1 $2" >> {folder}/launchd
case $1 in
bootstrap) test ! -e {folder}/no-launchd || exit 5; setsid sh {home}/guard watch >> {folder}/log 2>&1 & ;;
bootout) false ;;
esac
"""


class Mac:
    """A folder with a prepared change of the rules."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home, self.rules = folder, folder / "harden", folder / "etc/rules"
        self.calls, self.session = folder / "calls", folder / "session"
        self.calls.touch()
        self.session.write_text("one")
        tools = folder / "bin"
        tools.mkdir()
        texts = {"pfctl": PFCTL, "launchctl": LAUNCHCTL, "sysctl": "cat {folder}/session"}
        for name, text in texts.items():
            (tools / name).write_text(f"#!/bin/sh\n{text.format(folder=folder, home=self.home, token=TOKEN)}\n")
            (tools / name).chmod(0o755)
        places = {
            "/usr/bin:/bin:/usr/sbin:/sbin": f"{tools}:/usr/bin:/bin", guard.HOME: str(self.home),
            mac.PF_PATH: str(self.rules), "/etc/pf.conf": f"{folder}/system.conf",
            mac.PF_DAEMON: str(folder / "daemon.plist"), "/sbin/pfctl": str(tools / "pfctl"),
        }  # fmt: skip

        def moved(data: bytes) -> bytes:
            for old, new in places.items():
                data = data.replace(old.encode(), new.encode())
            return data

        self.home.mkdir()
        script, _ = mac.installed()[guard.SCRIPT]
        (self.home / "guard").write_bytes(moved(script))
        for path, data in guard.staged(mac.guarded([22])).items():
            place = self.home / Path(path).relative_to(guard.HOME)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(moved(data))

    def run(self, verb: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["sh", str(self.home / "guard"), verb], capture_output=True, text=True, timeout=60)

    def time_is_up(self) -> None:
        """The watch of launchd has waited long enough."""
        script = self.home / "guard"
        script.write_text(script.read_text().replace(f"seconds={guard.SECONDS}", "seconds=0"))
        assert "taken back" in self.run("watch").stdout

    @property
    def asked(self) -> list[str]:
        """The calls of pfctl, with the names of the files alone."""
        return [line.replace(f"{self.folder}/", "") for line in self.calls.read_text().splitlines()]

    @property
    def settled(self) -> bool:
        return not any((self.home / name).exists() for name in ("pending", "returning", "lock"))


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Mac]:
    made = Mac(tmp_path)
    yield made
    eventually(lambda: made.settled, seconds=30)


def test_without_a_confirmation_the_old_state_returns(tmp_path: Path) -> None:
    machine = Mac(tmp_path)
    assert machine.run("start").returncode == 0
    machine.time_is_up()
    assert not machine.rules.exists()
    assert machine.asked == ["-n -f etc/rules", "-E -f etc/rules", "-f system.conf", f"-X {TOKEN}"]
    assert machine.run("confirm").returncode == 1


def test_a_confirmed_change_stays(machine: Mac) -> None:
    done = machine.run("start")
    assert (done.returncode, machine.rules.read_bytes()) == (0, mac.pf([22])), done.stderr
    assert machine.run("confirm").returncode == 0
    machine.run("watch")  # as at the next boot
    assert machine.run("back").returncode == 0
    assert (machine.rules.read_bytes(), len(machine.asked)) == (mac.pf([22]), 2)


def test_earlier_rules_of_ours_are_loaded_again(machine: Mac) -> None:
    machine.rules.parent.mkdir()
    machine.rules.write_bytes(OLD)
    assert machine.run("start").returncode == 0
    assert machine.run("back").returncode == 0
    assert (machine.rules.read_bytes(), machine.asked[2:]) == (OLD, ["-f etc/rules", f"-X {TOKEN}"])


@pytest.mark.parametrize("fault", ["wrong", "no-launchd"])
def test_rules_that_are_wrong_or_cannot_be_watched_are_never_loaded(tmp_path: Path, fault: str) -> None:
    machine = Mac(tmp_path)
    (tmp_path / fault).touch()
    shorter = (machine.home / "guard").read_text().replace("-gt 5", "-gt 1")
    (machine.home / "guard").write_text(shorter)
    done = machine.run("start")
    assert (done.returncode, "nothing was changed" in done.stderr) == (1, True)
    assert machine.asked == (["-n -f etc/rules"] if fault == "wrong" else [])
    assert not machine.rules.exists()
    eventually(lambda: machine.settled, seconds=30)


def test_after_a_power_cut_the_old_state_returns_at_once(tmp_path: Path) -> None:
    machine = Mac(tmp_path)
    assert machine.run("start").returncode == 0
    machine.session.write_text("two")
    assert machine.run("watch").returncode == 0
    assert not machine.rules.exists()
    eventually(lambda: machine.settled, seconds=30)


def test_a_start_that_is_killed_in_the_middle_is_undone(machine: Mac) -> None:
    (machine.folder / "slow").touch()
    started = subprocess.Popen(["sh", str(machine.home / "guard"), "start"], start_new_session=True)
    eventually(lambda: len(machine.asked) == 2, seconds=30)
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()
    machine.time_is_up()
    assert (machine.rules.exists(), machine.asked[2:]) == (False, ["-f system.conf", f"-X {TOKEN}"])


# -- the plan ------------------------------------------------------------------------------------------------------

PLAIN = 'scrub-anchor "com.apple/*" all fragment reassemble\nanchor "com.apple/*" all\n'


def lines(folder: Path, rules: str, status: str = "Disabled") -> Lines:
    """The output of the script of facts, run here, with pfctl's answers."""
    tools = folder / "bin"
    tools.mkdir()
    answers = f"case $2 in rules) printf '{rules}' ;; info) echo 'Status: {status}  x' ;; esac"
    (tools / "pfctl").write_text(f"#!/bin/sh\n{answers}\n")
    (tools / "pfctl").chmod(0o755)
    environ = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", mac_hardening.FACTS], capture_output=True, text=True, env=environ, check=True)
    return {**parse(done.stdout), "ssh_port": ["22"]}


FIREWALL_ONLY = replace(WANTED, harden=(FIREWALL,))


def test_the_change_is_the_last_one_and_belongs_to_root(tmp_path: Path) -> None:
    made = mac_hardening.plan(lines(tmp_path, PLAIN), FIREWALL_ONLY)
    assert names(made)[-1] == START
    assert all(change.arguments.get("group", "wheel") == "wheel" for change in made.changes)
    put = {change.arguments["dest"]: change.arguments["data"] for change in made.changes if "dest" in change.arguments}
    daemon = plistlib.loads(put[mac.RETURN_DAEMON])
    assert daemon["ProgramArguments"] == ["/bin/sh", guard.SCRIPT, "watch"]
    assert daemon["RunAtLoad"] is True
    assert f"seconds={guard.SECONDS}\n".encode() in put[guard.SCRIPT]
    assert put[f"{guard.NEXT}/files"].decode().split() == [mac.PF_PATH, mac.PF_DAEMON]


def test_only_what_is_named_is_hardened_on_a_mac(tmp_path: Path) -> None:
    found = lines(tmp_path, PLAIN)
    assert mac_hardening.plan(found, replace(WANTED, harden=())).changes == ()
    untold = mac_hardening.plan(found, replace(WANTED, harden=None))
    assert (untold.changes, "--harden firewall" in untold.notes[0]) == ((), True)
    (refusal,) = mac_hardening.plan(found, replace(WANTED, harden=PARTS)).refusals
    assert "ssh and fail2ban cannot be hardened" in refusal.message


def test_rules_of_others_stay_the_only_ones(tmp_path: Path) -> None:
    made = mac_hardening.plan(lines(tmp_path, PLAIN + "block drop in proto tcp all\n", "Enabled"), FIREWALL_ONLY)
    assert (made.changes, "rules of others" in made.notes[0]) == ((), True)


def test_loaded_rules_need_no_change_until_the_files_differ(tmp_path: Path) -> None:
    found = lines(tmp_path, f"{PLAIN}{mac.BLOCK}\n", "Enabled")
    assert names(mac_hardening.plan(found, FIREWALL_ONLY))[-1] == START  # the files are not there
    import base64

    files = mac.guarded([22]).files
    there = [base64.b64encode(f"{path}\n".encode() + data).decode() for path, data in files.items()]
    assert mac_hardening.plan({**found, "harden_file": there}, FIREWALL_ONLY).changes == ()
    pending = {**found, "harden_file": there, "harden_pending": ["yes"]}
    assert names(mac_hardening.plan(pending, FIREWALL_ONLY))[-1] == START
    off = {**found, "harden_file": there, "harden_pf": ["Disabled"]}
    assert names(mac_hardening.plan(off, FIREWALL_ONLY))[-1] == START


def test_shellcheck_finds_nothing(tmp_path: Path) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    place = tmp_path / "facts.sh"
    place.write_text(f"#!/bin/sh\n{mac_hardening.FACTS}")
    check = tmp_path / "change.sh"
    change = mac.guarded([22])
    check.write_text(f"#!/bin/sh\n{change.check}{change.apply}{change.back}")
    done = subprocess.run(["shellcheck", str(place), str(check)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
