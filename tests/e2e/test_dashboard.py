"""`dashboard` on a real terminal, beside an agent on the real engine."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Iterator

import pytest

from reconciler.dashboard.screens import READING
from tests.e2e.host import Host, eventually
from tests.e2e.services import living, service

CANARY = "canary-0815-secret"
HOSTILE = "\x1b]0;taken\x07\x1b[2J[red]log-line[/]"


class Terminal:
    """A program on a terminal with 80 columns and 24 lines. `seen`: all bytes that it has written."""

    def __init__(self, pid: int, number: int) -> None:
        self.pid, self._number, self.seen = pid, number, b""

    def read(self, seconds: float = 0.1) -> str:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if select.select([self._number], [], [], left)[0]:
                try:
                    self.seen += os.read(self._number, 65536)
                except OSError:  # the program has ended
                    break
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.seen.decode(errors="replace"))

    def wait_for(self, text: str, seconds: float = 30) -> None:
        until = time.monotonic() + seconds
        while text not in self.read():
            assert time.monotonic() < until, self.read()

    def press(self, keys: bytes) -> None:
        self.seen = b""
        os.write(self._number, keys)

    def end(self) -> int:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            self.read()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
        raise AssertionError("it does not end")

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._number)


@contextlib.contextmanager
def shown(host: Host, **environment: str) -> Iterator[Terminal]:
    command = [word for word in host.command("dashboard") if word not in ("--output", "json")]
    variables = host.environment(TERM="xterm-256color", **environment)
    pid, number = pty.fork()
    if pid == 0:
        os.chdir(host.folder)
        os.execve(command[0], command, variables)
    fcntl.ioctl(number, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    terminal = Terminal(pid, number)
    try:
        yield terminal
    finally:
        terminal.close()


def test_dashboard_shows_the_machine_and_changes_nothing_without_a_yes(host: Host) -> None:
    (host.secrets / f"{host.stack}.env").write_text(f"SECRET={CANARY}\n")
    (host.secrets / f"{host.stack}.env").chmod(0o600)
    talk = living(f'while :; do echo "$SECRET {HOSTILE}"; sleep 0.3; done', environment={"SECRET": "${SECRET}"})
    first = host.push({"web": talk})
    with shown(host) as terminal:
        terminal.wait_for("the agent does not run")
        with host.started("run"):
            eventually(lambda: host.status().document.get("lastGoodRevision") == first, 30)
            terminal.wait_for("Healthy")
            terminal.wait_for("[red]log-line[/]")
            terminal.press(b"\r")
            terminal.wait_for("log of")
            terminal.wait_for("[red]log-line[/]")
            terminal.press(b"q")
            second = host.push({"web": talk, "late": service()})
            terminal.wait_for("rollout")
            terminal.wait_for(f"{host.stack}/late")
            eventually(lambda: host.status().document.get("lastGoodRevision") == second, 30)
            terminal.press(b"p")
            terminal.wait_for("nothing to do")
            terminal.press(b"q")
            terminal.wait_for("newest log lines")
            terminal.press(b"smayatay\r")  # in one write: the text is typed into the field and must not act as keys
            terminal.wait_for("reason: ")
            terminal.press(b"n")
            terminal.wait_for(f"{host.stack}/web")
            terminal.press(b"smaintenance\r")
            terminal.wait_for("reason: maintenance")
            assert host.status()["suspended"] is None
            time.sleep(READING)
            terminal.press(b"y")
            terminal.wait_for("Done")
            assert host.status()["suspended"]["reason"] == "maintenance"
            terminal.press(b"q")
        everything = terminal.seen
        terminal.press(b"q")
        assert terminal.end() == 0
        assert b"\x1b[?1049l" in terminal.seen  # the terminal is as before
        assert CANARY.encode() not in everything + terminal.seen
        assert b"0;taken" not in everything


def test_a_signal_ends_the_dashboard_and_restores_the_terminal(host: Host) -> None:
    host.push({"web": service()})
    host.configure(engine=f"unix://{host.folder}/none.sock")
    with shown(host, NO_COLOR="1") as terminal:
        terminal.wait_for("the engine does not answer")
        os.kill(terminal.pid, signal.SIGTERM)
        assert terminal.end() == 143
        assert b"\x1b[?1049l" in terminal.seen
        assert not re.search(rb"\x1b\[(?:[0-9]+;)*(?:3[0-8]|4[0-8])(?:;[0-9]+)*m", terminal.seen)


@pytest.mark.parametrize("arguments", [[], ["--output", "json"]])
def test_without_a_terminal_the_dashboard_says_what_to_use_instead(host: Host, arguments: list[str]) -> None:
    refused = host.run("dashboard", *arguments)
    assert refused.code == 2
    assert "reconciler status" in refused.stdout + refused.stderr
