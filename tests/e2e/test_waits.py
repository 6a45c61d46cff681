"""Nothing blocks the agent: during a long wait it still handles newer commits, requests and signals."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.host import BUSY, Host, eventually
from tests.e2e.services import IMAGE, healthy, service, stated
from tests.e2e.test_agent import applied, end, file_status
from tests.e2e.test_operator import asked

pytestmark = pytest.mark.engine

SOON = 2.0
"""Seconds within which the agent reacts on an idle machine; a busy one gets four times that."""

DEAF = "trap '' TERM\nwhile :; do sleep 1; done"


def deaf(version: str, **more: Any) -> dict[str, Any]:
    """A service that ignores the stop signal, with a grace period of nine minutes."""
    command = ["sh", "-c", DEAF]
    return service(**{"command": command, "stop_grace_period": "9m", "environment": {"VERSION": version}, **more})


def at_step(host: Host, action: str) -> bool:
    rollout = file_status(host).get("rollout")
    return rollout is not None and rollout["action"] == action


def soon(what: Callable[[], Any]) -> None:
    asked = time.monotonic()
    eventually(what, 4 * SOON)
    assert time.monotonic() - asked < BUSY * SOON


def test_requests_newer_commits_and_signals_must_be_handled_while_a_container_does_not_stop(host: Host) -> None:
    host.configure(source={"interval": "10m"})
    first = host.push({"web": deaf("1")})
    with host.started("run") as agent:
        eventually(lambda: applied(host, first), 30)
        web = host.container("web")
        stuck = host.push({"web": deaf("2")})
        eventually(lambda: at_step(host, "StopContainer"), 30)
        asked(host, "suspend", "--reason", "x")
        asked(host, "resume")
        assert at_step(host, "StopContainer")
        newest = host.push({"web": deaf("1"), "other": stated("1")})
        note = eventually(lambda: host.note(stuck), 4 * SOON)
        assert note.trailers["State"] == "superseded"
        eventually(lambda: applied(host, newest), 30)
        kept = host.container("web")
        assert (kept["Id"], kept["State"]["StartedAt"]) == (web["Id"], web["State"]["StartedAt"])
        assert kept["HostConfig"]["RestartPolicy"]["Name"] == "always"
        host.push({"web": deaf("2"), "other": stated("1")})
        eventually(lambda: at_step(host, "StopContainer"), 30)
        code, seconds = end(agent, signal.SIGTERM)
    assert code == 143
    assert seconds < BUSY * SOON
    assert host.history("--limit", "1")[0]["outcome"] == "Interrupted"
    assert host.container("web")["Id"] == web["Id"]
    assert host.states() == {"web-1": "running", "other-1": "running", "web-2": "created"}


def test_a_broken_commit_that_does_not_stop_must_be_rolled_back(host: Host) -> None:
    first = host.push({"web": healthy()})
    assert host.once().code == 0
    host.push({"web": deaf("2", healthcheck={"test": ["CMD", "false"], "interval": "250ms", "retries": 1})})
    turn = host.once()
    assert (turn["outcome"], turn["revertedTo"]) == ("RolledBack", first)
    assert host.states() == {"web-1": "running"}


def test_a_long_build_must_be_interrupted_by_a_newer_commit(host: Host) -> None:
    host.configure(source={"interval": "10m"})
    first = host.push({"web": stated("1")})
    with host.started("run"):
        eventually(lambda: applied(host, first), 30)
        dockerfile = f"FROM {IMAGE}\nRUN echo {host.name} && sleep 1700\n"
        slow = host.push({"web": stated("1"), "slow": service(image=None, build=".")}, {"Dockerfile": dockerfile})
        eventually(lambda: at_step(host, "Build"), 30)
        newest = host.push({"web": stated("2")})
        note = eventually(lambda: host.note(slow), 4 * SOON)
        assert note.trailers["State"] == "superseded"
        eventually(lambda: applied(host, newest), 30)
    assert host.states() == {"web-1": "running"}


def test_a_pipe_in_place_of_the_branch_must_not_block_the_agent(host: Host) -> None:
    host.push({"web": stated("1")})
    assert host.once().code == 0
    branch = host.repository.folder / "refs/heads/main"
    kept = branch.read_bytes()
    branch.unlink()
    os.mkfifo(branch)
    host.engine.stop(host.container("web")["Id"], timeout=0)
    turn = host.once()
    assert (turn.code, turn["reason"]) == (3, "DriftCorrected")
    assert "refs/heads/main is a pipe" in turn["message"]
    assert host.states() == {"web-1": "running"}
    branch.unlink()
    branch.write_bytes(kept)
    assert host.once().code == 0


def test_an_unreadable_commit_must_be_rejected_and_later_commits_must_be_applied(host: Host) -> None:
    repository = host.repository
    first = host.push({"web": stated("1")})
    assert host.once().code == 0
    tree, person = repository.git("rev-parse", f"{first}^{{tree}}"), "A Person <p@example.org> 1767225600 +0000"
    data = f"tree {tree}\nparent {first}\nauthor A\0{person}\ncommitter {person}\nencoding idna\n\nx\n".encode()
    odd = repository.set(repository.git("hash-object", "-t", "commit", "-w", "--stdin", "--literally", stdin=data))
    host.engine.stop(host.container("web")["Id"], timeout=0)
    turn = host.once()
    assert (turn.code, turn["outcome"], turn["reason"]) == (1, "Rejected", "ParseFailed")
    assert host.states() == {"web-1": "running"}
    note = host.note(odd)
    assert note is not None
    assert note.trailers["State"] == "failure"
    newest = host.push({"web": stated("2")})
    turn = host.once()
    assert (turn.code, turn["revision"]) == (0, newest)
