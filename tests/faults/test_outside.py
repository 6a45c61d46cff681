"""Faults around the agent: remotes, names, ports, networks, clocks, a slow engine, a shortened journal."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.times import instant
from tests.conftest import engine_address
from tests.e2e.conftest import compose, every_compose, told
from tests.e2e.host import Answer, Host, eventually
from tests.e2e.services import BROKEN, healthy, stated
from tests.e2e.together import Together
from tests.observe.proxy import Proxy

__all__ = ["compose", "every_compose", "told"]
pytestmark = pytest.mark.engine
together = Together()

DATA: dict[str, Any] = {"volumes": {"data": {}}}
CLOCK = """
import pathlib, time
jump, now, nanoseconds = pathlib.Path({path!r}), time.time, time.time_ns
time.time = lambda: now() + float(jump.read_text())
time.time_ns = lambda: nanoseconds() + int(float(jump.read_text()) * 10**9)
"""
"""Python reads `sitecustomize` at every start: the agent's wall clock is what a file says."""


def push(host: Host, version: str, **more: Any) -> str:
    return host.push({"web": stated(version, **more), "db": stated("1", volumes=["data:/data"])}, **DATA)


def begin(host: Host) -> None:
    push(host, "1")
    assert host.once().code == 0


def could_not_find_out(answer: Answer, reason: str) -> str:
    """The turn touched and quarantined nothing, and says why; returns its message."""
    assert (answer.code, answer["reason"]) == (3, reason), answer.document
    assert answer["hint"]
    return str(answer["message"])


def quarantined(host: Host) -> list[Any]:
    found: list[Any] = host.run("status", "--no-engine")["quarantinedRevisions"]
    return found


@contextmanager
def liar() -> Iterator[int]:
    """A server that sends the same wrong data to everybody. Yields its port."""

    def answer() -> None:
        while True:
            try:
                client, _ = watchdog.accept()
            except OSError:
                return
            with client, suppress(OSError):
                client.sendall(b"220 welcome to another protocol\r\n" * 500)

    with socket.create_server(("127.0.0.1", 0)) as watchdog:
        threading.Thread(target=answer, daemon=True).start()
        yield watchdog.getsockname()[1]
        watchdog.shutdown(socket.SHUT_RDWR)


@together.with_one_compose
def test_a_remote_that_lies_is_empty_or_has_no_address_must_touch_nothing(host: Host) -> None:
    begin(host)
    before, head, real = host.machine(), host.repository.head(), host.repository
    with liar() as port:
        for url in (f"https://127.0.0.1:{port}/home.git", "https://nowhere.invalid/home.git"):
            host.configure(source={"url": url})
            assert could_not_find_out(host.once(), "FetchFailed")
    host.configure()
    ref = real.folder / "refs/heads/main"
    for lie in ("1" * 40, real.blob("no commit"), "not even a sha"):
        ref.write_text(f"{lie}\n")
        could_not_find_out(host.once(), "FetchFailed")
    ref.write_text(f"{head}\n")
    away = host.folder / "away.git"
    real.folder.rename(away)
    subprocess.run(["git", "init", "-q", "--bare", real.folder], check=True)
    could_not_find_out(host.once(), "FetchFailed")
    shutil.rmtree(real.folder)
    away.rename(real.folder)
    turn = host.once()
    assert (turn.code, turn["outcome"], turn["revision"]) == (0, "Unchanged", head)
    assert host.machine() == before
    sha = push(host, "2", image="nowhere.invalid/none:1")
    assert "nowhere.invalid" in could_not_find_out(host.once(), "PullFailed")
    assert host.machine() == before
    assert (quarantined(host), host.note(sha)) == ([], None)


@together.with_one_compose
def test_a_port_that_is_taken_in_the_middle_of_the_rollout_must_quarantine_nothing(host: Host) -> None:
    begin(host)
    before = host.ids()
    with socket.socket() as thief:
        thief.bind(("127.0.0.1", 0))
        port = thief.getsockname()[1]
        thief.close()
        web = stated("2", ports=[f"127.0.0.1:{port}:80"], depends_on={"slow": {"condition": "service_healthy"}})
        slow = healthy("sleep 3; touch /tmp/healthy")
        services = {"slow": slow, "web": web, "db": stated("1", volumes=["data:/data"])}
        sha = host.push(services, **DATA)
        with host.started("once") as turn, socket.socket() as holder:
            eventually(lambda: host.states().get("slow-1") == "running", 30)
            holder.bind(("127.0.0.1", port))
            holder.listen()
            assert turn.wait(60) == 3
            assert {name: id for name, id in host.ids().items() if "slow" not in name} == before
            assert host.states()["web-1"] == host.states()["db-1"] == "running"
            failed = host.history("--limit", "1")[0]
            assert (failed["revision"], failed["final"]) == (sha, False)
            assert str(port) in failed["message"]
            assert quarantined(host) == []
    later = host.once()
    assert (later.code, later["outcome"], later["revision"]) == (0, "Succeeded", sha)


@together.with_one_compose
def test_a_network_that_is_removed_must_come_back_under_what_runs(host: Host) -> None:
    begin(host)
    before, name = host.ids(), f"{host.stack}_default"
    for container in before.values():
        host.engine.disconnect_container_from_network(container, name, force=True)
    host.engine.remove_network(name)
    turn = host.once()
    assert (turn.code, turn["reason"]) == (0, "DriftCorrected"), turn.document
    assert name in turn["message"]
    assert host.ids() == before
    assert host.exec("web-1", "getent hosts db")
    assert host.once()["effects"] == 0


@together.with_one_compose
def test_an_engine_that_is_slow_must_only_take_longer(host: Host) -> None:
    short = Path(os.environ.get("TMPDIR", "/tmp")) / host.name  # a socket's path must not be long
    short.mkdir()
    try:
        with Proxy(short, engine_address()) as proxy:
            host.configure(engine=proxy.address)
            begin(host)
            proxy.slow(0.1)
            sha = push(host, "2")
            turn = host.once()
            assert (turn.code, turn["outcome"], turn["revision"]) == (0, "Succeeded", sha), turn.document
            assert host.once()["effects"] == 0
            assert host.exec("web-1", "echo $VERSION") == "2"
    finally:
        shutil.rmtree(short)


@together.with_one_compose
def test_a_clock_that_jumps_must_neither_end_a_gate_nor_begin_a_wait(host: Host) -> None:
    jump, draft = host.folder / "jump", host.folder / "jump.new"
    (host.folder / "sitecustomize.py").write_text(CLOCK.format(path=str(jump)))
    jump.write_text("0")
    paths = os.pathsep.join([str(host.folder), os.environ.get("PYTHONPATH", "")])

    def proven(sha: str) -> bool:
        path = host.state / "journal.jsonl"
        lines = path.read_text().splitlines() if path.exists() else ()
        return any(item.get("good") and item["revision"] == sha for item in map(json.loads, lines))

    with host.started("run", PYTHONPATH=paths):
        first = host.push({"web": stated("1")})
        eventually(lambda: proven(first), 30)
        for version, seconds in (("2", 3600), ("3", -7200)):
            sha = host.push({"web": healthy("sleep 2; touch /tmp/healthy", environment={"VERSION": version})})
            eventually(lambda: host.states().get("web-1.standby") == "exited", 30)
            draft.write_text(str(seconds))
            draft.replace(jump)
            eventually(lambda known=sha: proven(known), 30)
            took = time.time() - instant(host.container("web")["State"]["StartedAt"])
            assert took > 2.5, "seconds: the service takes two, the window another"
    assert quarantined(host) == []
    assert [item["outcome"] for item in host.history() if item["intent"] == "Advance"] == ["Succeeded"] * 3
    assert host.once().code == 0
    assert host.once()["effects"] == 0


@together.with_one_compose
def test_a_journal_that_lost_its_end_must_restart_nothing_and_bring_back_no_bad_commit(host: Host) -> None:
    begin(host)
    bad = host.push({"web": BROKEN, "db": stated("1", volumes=["data:/data"])}, **DATA)
    assert host.once()["outcome"] == "RolledBack"
    refused = host.repository.git("rev-parse", f"{bad}^{{tree}}")
    head = push(host, "3")
    assert host.once().code == 0
    notes, before = {sha: host.note(sha) for sha in (bad, head)}, host.machine()
    journal = host.state / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    verdict = next(n for n, line in enumerate(lines) if json.loads(line)["kind"] == "condemned")
    for left in (verdict, 1):
        journal.write_bytes(b"".join(lines[:left]))
        turns = [host.once(), host.once()]
        assert (turns[1].code, turns[1]["effects"]) == (0, 0), [turn.document for turn in turns]
        assert host.machine() == before
        assert {sha: host.note(sha) for sha in (bad, head)} == notes
    again = host.repository.set(host.repository.commit_tree(refused, "the bad one again", head))
    turn = host.once()
    assert (turn.code, turn["revision"]) == (1, again), turn.document
    assert turn["outcome"] == "Rejected"
    assert host.machine() == before
