"""The real engine is killed, restarted and hangs in the middle of a rollout: nothing is quarantined or lost."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.conftest import missing
from tests.e2e.conftest import compose, every_compose
from tests.e2e.host import Host, eventually
from tests.e2e.services import healthy, service
from tests.faults.private_engine import PrivateEngine

__all__ = ["compose", "every_compose"]
pytestmark = pytest.mark.engine
DATA: dict[str, Any] = {"volumes": {"data": {}}}


@pytest.fixture(scope="module")
def private(engine: docker.APIClient, images: dict[str, str]) -> Iterator[PrivateEngine]:
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "dockerd"))):
        missing("an engine of its own needs root, unshare and dockerd")
    made = PrivateEngine(Path(tempfile.mkdtemp(prefix="rc-engine-")))
    try:
        made.start()
        made.load(engine)
        yield made
    finally:
        made.close()


@pytest.fixture
def host(private: PrivateEngine, compose: Path, tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path, compose, engine=private.address)
    made.engine.close()
    made.engine = private.client
    yield made
    for item in private.client.containers(all=True):
        private.client.remove_container(item["Id"], force=True)


def alone(made: dict[str, Any]) -> dict[str, Any]:
    return {**made, "network_mode": "none"}


def stack(version: str, takes: float) -> dict[str, Any]:
    """A database with a file that must not be lost, and a service that becomes healthy slowly."""
    db = service("echo kept >>/data/file; " + "while :; do sleep 1 & wait $!; done", volumes=["data:/data"])
    web = healthy(f"sleep {takes:g}; touch /tmp/healthy", environment={"VERSION": version}, stop_grace_period="1s")
    return {"db": alone(db), "web": alone(web)}


@contextmanager
def in_the_gate(host: Host) -> Iterator[Any]:
    """A rollout of version 2 that waits for its gate."""
    host.push(stack("1", 0), **DATA)
    assert host.once().code == 0
    host.push(stack("2", 4), **DATA)
    with host.started("run") as agent:
        eventually(lambda: host.states().get("web-1.standby") == "exited", 30)
        eventually(lambda: host.states().get("web-1") == "running", 30)
        yield agent


def records(host: Host) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (host.state / "journal.jsonl").read_text().splitlines()]


def proven(host: Host) -> bool:
    newest = host.repository.head()
    return any(item.get("good") and item["revision"] == newest for item in records(host))


def check_end(host: Host, seconds: float) -> None:
    """The same agent finishes by itself."""
    eventually(lambda: proven(host), seconds, 0.2)
    assert {item["outcome"] for item in records(host) if item["kind"] == "ended"} <= {"Succeeded", "Failed"}
    assert not [item for item in records(host) if item["kind"] == "condemned"]


def check_machine(host: Host) -> None:
    assert host.once().code == 0, "what the end of the agent cut off is tidied up"
    assert host.once()["effects"] == 0
    assert host.states() == {"db-1": "running", "web-1": "running"}
    assert host.exec("web-1", "echo $VERSION") == "2"
    assert "kept" in host.exec("db-1", "cat /data/file")


def killed_and_back(engine: PrivateEngine) -> None:
    engine.kill()
    engine.start()


def restarted_after_a_while(engine: PrivateEngine) -> None:
    engine.stop()
    time.sleep(6)
    engine.start()


def hung_for_a_while(engine: PrivateEngine) -> None:
    engine.hang()
    time.sleep(6)
    engine.go_on()


@pytest.mark.parametrize("happens", [killed_and_back, restarted_after_a_while, hung_for_a_while])
def test_an_engine_that_ends_in_the_gate_must_quarantine_nothing(
    private: PrivateEngine, host: Host, happens: Callable[[PrivateEngine], None]
) -> None:
    with in_the_gate(host) as agent:
        happens(private)
        check_end(host, 60)
        assert agent.poll() is None, "the agent was never restarted"
    check_machine(host)
