"""`--on NAME VERB`: a verb on another machine, by a real ssh server, looks as if it ran here."""

from __future__ import annotations

import os
import pty
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.record.lock import holder
from reconciler.wiring.remote import without_on
from tests.repository import Repository
from tests.sshd import Laptop, laptop


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A machine whose engine is away; no agent runs."""
    folder = tmp_path_factory.mktemp("machine")
    Repository(folder / "home.git").push({"compose.yaml": "services: {web: {image: debian}}\n"})
    (folder / "reconciler.yaml").write_text(
        f"host: mini\nsource: {{url: {folder}/home.git, interval: 1s}}\nstate: {folder}/state\n"
        f"engine: unix://{folder}/no-engine.sock\n"
    )
    return folder


@pytest.fixture(scope="module")
def mac(machine: Path) -> Iterator[Laptop]:
    with laptop(machine / "reconciler.yaml") as made:
        yield made


def here(machine: Path, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "reconciler", "--config", str(machine / "reconciler.yaml"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd="/")
    return done.returncode, done.stdout


def until(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_output_and_exit_code_are_those_of_the_machine(machine: Path, mac: Laptop) -> None:
    reason = 'it\'s $HOME; `x` "y" *\n über'
    judged = ("validate", "--commit", "main", "--git-dir", str(machine / "home.git"))
    done = mac.run("--on", "mini", *judged)
    assert (done.code, done.stdout) == here(machine, *judged)
    assert mac.run("--on", "mini", "suspend", "--reason", reason).code == 0
    assert mac.run("retry", "--on", "mini", "no-such-revision").code == 1
    requests = mac.run("--on=mini", "history", "--output", "json").document["requests"]
    assert (
        reason.replace("\n", " ").split()
        == next(item["reason"] for item in requests if item["verb"] == "suspend").split()
    )
    assert mac.logins() == 1, "one connection serves all"


def test_forwards_and_commands_of_the_ssh_config_stop_no_verb(mac: Laptop, machine: Path) -> None:
    config = mac.folder / "ssh_config"
    before = config.read_text()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        forward = f"LocalForward {taken.getsockname()[1]} localhost:1\nExitOnForwardFailure yes\n"
        config.write_text(f"{before}{forward}RemoteCommand tmux attach\n")
        mac.close()
        try:
            assert mac.run("--on", "mini", "history").code == 0
        finally:
            config.write_text(before)


def test_a_signal_ends_the_verb_there(machine: Path, mac: Laptop) -> None:
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        process = subprocess.Popen(
            mac.command("--on", "mini", "run"), env=mac.environment, cwd=mac.folder, stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until(lambda: (machine / "state").exists() and holder(machine / "state"))
        process.send_signal(number)
        assert process.wait(60) == code
        assert holder(machine / "state") is None


def test_a_lost_connection_ends_the_verb_there(machine: Path, mac: Laptop) -> None:
    command = mac.command("--on", "mini", "--output", "json", "run")
    process = subprocess.Popen(
        command, env=mac.environment, cwd=mac.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until(lambda: holder(machine / "state"))
    mac.close()
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 3
    assert b"HostUnreachable" in said
    until(lambda: holder(machine / "state") is None)


def test_on_a_terminal_it_has_colours_and_ends_by_its_keys(machine: Path, mac: Laptop) -> None:
    def start(*arguments: str) -> tuple[int, int]:
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(mac.folder)
            os.execve(sys.executable, mac.command("--on", "mini", *arguments), mac.environment)
        return pid, terminal

    def read(terminal: int, enough: Callable[[bytes], bool]) -> bytes:
        said, deadline = b"", time.monotonic() + 60
        while not enough(said) and time.monotonic() < deadline:
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    said += os.read(terminal, 4096)
                except OSError:
                    break
        return said

    pid, terminal = start("plan", "--commit", "no-such-revision")
    said = read(terminal, lambda said: False)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) in (2, 3)
    assert b"\x1b[31merror\x1b[0m" in said
    pid, terminal = start("run")
    until(lambda: holder(machine / "state"))
    os.write(terminal, b"\x03")
    read(terminal, lambda said: False)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
    assert holder(machine / "state") is None
    pid, terminal = start("dashboard")
    assert b"the engine does not answer" in read(terminal, lambda said: b"the engine does not answer" in said)
    os.write(terminal, b"q")
    read(terminal, lambda said: False)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_what_cannot_be_reached_is_told_and_is_one_document(mac: Laptop) -> None:
    here = mac.hosts([])
    before = f"ssh://root@127.0.0.1:{mac.port}"
    program = str(mac.folder / "remote-reconciler")
    try:
        mac.hosts(
            [
                {"name": "away", "ssh": "ssh://root@127.0.0.1:1"},
                {"name": "bare", "ssh": before, "program": "/nonexistent/reconciler"},
            ]
        )
        for name, told in (
            ("away", "cannot be reached by `ssh ssh://root@127.0.0.1:1`"),
            ("bare", "has no reconciler"),
        ):
            done = mac.run("--on", name, "status", "--output", "json")
            assert (done.code, done.document["kind"], done.document["reason"]) == (3, "Error", "HostUnreachable")
            assert told in done.document["message"]
        done = mac.run("--on", "awya", "status")
        assert (done.code, "did you mean away?" in done.stderr) == (2, True)
        here.write_text("hosts:\n  - {name: mini, ssh: -oProxyCommand=id}\n  - {name: x, shs: y}\n")
        done = mac.run("--on", "mini", "status")
        assert done.code == 2
        assert "line 2" in done.stderr
        assert "Did you mean 'ssh'?" in done.stderr
        here.chmod(0o666)
        assert "can be changed by other users" in " ".join(mac.run("--on", "mini", "status").stderr.split())
    finally:
        here.chmod(0o600)
        mac.hosts([{"name": "mini", "ssh": before, "program": program}])


def test_a_git_remote_names_a_machine_as_well(mac: Laptop) -> None:
    clone = mac.folder / "clone"
    subprocess.run(["git", "init", "-q", str(clone)], check=True)
    (mac.folder / "bin/reconciler").unlink(missing_ok=True)
    url = f"ssh://root@127.0.0.1:{mac.port}/srv/home.git"
    subprocess.run(["git", "-C", str(clone), "remote", "add", "nas", url], check=True)
    done = mac.run("--on", "nas", "--version", cwd=clone)
    assert done.code == 0
    done = mac.run("--on", "nas", "history", cwd=clone)
    assert (done.code, "nas has no reconciler" in done.stderr) == (3, True), done.stderr
    assert mac.run("--on", "nas", "history").code == 2


@pytest.mark.parametrize(
    ("typed", "left"),
    [
        (["--on", "mini", "status"], ["status"]),
        (["status", "--on=mini", "--output", "json"], ["status", "--output", "json"]),
        (["hooks", "run", "--on", "x", "pre-push", "--", "--on", "y"], ["hooks", "run", "pre-push", "--", "--on", "y"]),
    ],
)
def test_only_the_name_of_the_machine_is_left_out(typed: list[str], left: list[str]) -> None:
    assert without_on(typed) == left
