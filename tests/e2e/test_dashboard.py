"""`dashboard` on a real terminal, beside an agent on the real engine."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator

import pytest

from reconciler.dashboard.screens import READING
from tests.e2e.host import Host, eventually
from tests.e2e.services import living, service
from tests.e2e.terminal import Terminal, on_terminal

CANARY = "canary-0815-secret"
HOSTILE = "\x1b]0;taken\x07\x1b[2J[red]log-line[/]"


@contextlib.contextmanager
def shown(host: Host, **environment: str) -> Iterator[Terminal]:
    command = [word for word in host.command("dashboard") if word not in ("--output", "json")]
    with on_terminal(command, host.environment(TERM="xterm-256color", **environment), host.folder) as terminal:
        yield terminal


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
