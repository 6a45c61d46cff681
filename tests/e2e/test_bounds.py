"""Memory is never promised twice, and secrets are never told."""

from __future__ import annotations

import base64
import json
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import docker
import pytest

from reconciler.engine import connect
from tests.conftest import engine_address
from tests.e2e.host import Answer, Host
from tests.e2e.services import BROKEN, IMAGE, healthy, living, one_shot, stated
from tests.e2e.together import Together

pytestmark = pytest.mark.engine
together = Together()

MiB = 1 << 20


class Sampler(threading.Thread):
    """Adds up the limits of what runs of one stack, as often as it can, and remembers the most."""

    def __init__(self, stack: str) -> None:
        super().__init__(daemon=True)
        self.most, self.samples = 0, 0
        self._engine, self._done = connect(engine_address()), threading.Event()
        self._filter = {"label": f"com.docker.compose.project={stack}", "status": ["running", "restarting", "paused"]}
        self._limits: dict[str, int] = {}

    def run(self) -> None:
        while not self._done.is_set():
            self.most = max(self.most, sum(self._limit(item["Id"]) for item in self._running()))
            self.samples += 1

    def end(self) -> None:
        self._done.set()
        self.join()
        self._engine.close()

    def _running(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._engine.containers(filters=self._filter)
        return found

    def _limit(self, container: str) -> int:
        if container not in self._limits:
            try:
                self._limits[container] = self._engine.inspect_container(container)["HostConfig"]["Memory"]
            except docker.errors.NotFound:
                return 0
        return self._limits[container]


@contextmanager
def sampled(stack: str) -> Iterator[Sampler]:
    sampler = Sampler(stack)
    sampler.start()
    try:
        yield sampler
    finally:
        sampler.end()


def full(version: str, **more: Any) -> dict[str, Any]:
    """Services that fill 256 MiB, so that nothing could run twice."""
    return {
        "web": stated(version, mem_limit="64m", deploy={"replicas": 2}),
        "db": healthy(mem_limit="64m", labels={"version": version}),
        "worker": stated(version, mem_limit="32m"),
        "migrate": one_shot(f"echo {version}; sleep 0.5", mem_limit="32m", depends_on=["db"]),
        **more,
    }


def taken_by_others(host: Host) -> int:
    """What the containers of others that run now count for, with room for one without a limit to grow."""
    return sum(
        host.engine.inspect_container(item["Id"])["HostConfig"]["Memory"] or 256 * MiB
        for item in host.engine.containers()
        if item["Labels"].get("com.docker.compose.project") != host.stack
    )


def turn_within(host: Host, own: int, services: dict[str, Any]) -> Answer:
    """A turn to a commit whose budget leaves this stack `own` bytes; again where others took some meanwhile."""
    while True:
        budget = f"{(taken_by_others(host) + own) // MiB}MiB"
        host.push(services, memory={"budget": budget, "steady": "100%", "reserve": "0"})
        turn = host.once()
        if (turn.code, turn["reason"]) != (3, "BudgetExceeded"):
            return turn


def test_the_limits_of_what_runs_must_stay_within_the_bound(host: Host) -> None:
    own = 256 * MiB
    with sampled(host.stack) as sampler:
        assert turn_within(host, own, full("1")).code == 0
        assert turn_within(host, own, full("2")).code == 0
        assert turn_within(host, own, full("3", worker={**BROKEN, "mem_limit": "32m"}))["outcome"] == "RolledBack"
    assert sampler.samples > 50
    assert 0 < sampler.most <= own, f"{sampler.most / MiB} MiB ran at once"


@together.with_one_compose
def test_every_way_to_state_a_limit_must_reach_the_container(host: Host) -> None:
    swapping = stated("1", mem_limit="32m", memswap_limit="64m")
    limits = {"resources": {"limits": {"memory": "48m"}}}
    host.push({"a": stated("1"), "b": stated("1", mem_limit=None), "c": swapping,
               "d": stated("1", mem_limit=None, deploy=limits)})  # fmt: skip
    assert host.once().code == 0
    found = {name: host.container(name)["HostConfig"] for name in "abcd"}
    assert {name: item["Memory"] // MiB for name, item in found.items()} == {"a": 32, "b": 32, "c": 32, "d": 48}
    assert {name: item["MemorySwap"] // MiB for name, item in found.items()} == {"a": 32, "b": 32, "c": 64, "d": 48}
    rows = {row["service"]: row for row in host.validate(host.repository.head())["budget"]["rows"]}
    assert {name: row["default"] for name, row in rows.items()} == {"a": False, "b": True, "c": False, "d": False}


CANARIES = {
    "PLAIN": "canary-one-4f9c1d",
    "QUOTED": 'canary "two" \\ with $odd signs & <8d2e>',
    "LINES": "canary-three-first-line\ncanary-three-second-line",
    "URL": "https://person:canary-four-77ab@example.org/x",
}


def spellings(value: str) -> set[str]:
    """The ways in which a value may turn up in an output."""
    return {
        value, json.dumps(value)[1:-1], urllib.parse.quote(value), urllib.parse.quote_plus(value),
        base64.b64encode(value.encode()).decode(), *value.splitlines(),
    }  # fmt: skip


@together.with_one_compose
def test_secrets_must_appear_in_no_output(host: Host) -> None:
    folder = host.secrets / host.stack
    folder.mkdir(mode=0o700)
    for name, value in CANARIES.items():
        (folder / name).write_text(value)
        (folder / name).chmod(0o600)
    tell = "env | sort; env >&2"
    secretive = living(
        f"{tell}; touch /tmp/healthy",
        environment={name: f"${{{name}}}" for name in CANARIES}, secrets=["file"], labels={"plain": "x"},
    )  # fmt: skip
    document: dict[str, Any] = {"secrets": {"file": {"environment": "PLAIN"}}}
    host.push({"web": secretive, "db": stated("1")}, **document)
    assert host.once().code == 0
    assert host.exec("web-1", "cat /run/secrets/file") == CANARIES["PLAIN"]
    assert host.exec("web-1", 'printf %s "$QUOTED"') == CANARIES["QUOTED"]
    assert host.exec("web-1", 'printf %s "$LINES"') == CANARIES["LINES"]
    crying = {
        **secretive,
        "command": ["sh", "-c", f"{tell}; sleep 1; exit 9"],
        "restart": "no",
        "healthcheck": {"test": "env"},
    }
    bad = host.push({"web": crying, "db": stated("1")}, **document)
    turn = host.once()
    assert turn["failure"]["log"], "the log of a service that tells all it knows is shown, masked"
    failing = {**BROKEN, "image": f"{IMAGE}-${{PLAIN}}", "pull_policy": "never"}
    host.push({"web": failing, "db": stated("1")}, **document)
    host.once()
    invalid = {**secretive, "mem_limit": "${PLAIN}", "ports": ["${QUOTED}"]}
    sha = host.push({"web": invalid, "db": stated("1")}, **document)
    host.once()
    host.validate(sha)
    for verb in (["plan"], ["status"], ["history"], ["plan", "--commit", bad]):
        host.run(*verb)
        assert host.text(*verb)
    check_untold(host)


def check_untold(host: Host) -> None:
    told = {"output": "\n".join(host.outputs), "notes": notes(host)}
    told |= {str(path): path.read_bytes().decode(errors="replace") for path in host.state.rglob("*") if path.is_file()}
    told |= {f"labels of {name}": json.dumps(c["Config"]["Labels"]) for name, c in host.containers().items()}
    for name, value in CANARIES.items():
        for spelling in spellings(value):
            where = [place for place, text in told.items() if spelling in text]
            assert not where, f"{name} as {spelling!r}"


def notes(host: Host) -> str:
    ref = f"refs/notes/reconciler/{host.name}"
    objects = [line.split()[0] for line in host.repository.git("notes", f"--ref={ref}", "list").splitlines()]
    assert objects
    return "\n".join(host.repository.git("cat-file", "-p", item) for item in objects)
