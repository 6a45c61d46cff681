"""The process is killed at every effect of an advance, a revert and a repair; the next ones find the way."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reconciler.model.outcome import Outcome
from tests.fakes.behaviour import crashing, never_healthy, one_shot
from tests.fakes.life import Life, service
from tests.fakes.machine import Died

MiB = 1 << 20


def reference(version: str, **more: object) -> dict[str, dict[str, object]]:
    """Five services: database, cache, two of the app, a worker and a migration that runs once."""
    return {
        "db": service("db:1", volumes=[{"type": "volume", "source": "data", "target": "/data"}]),
        "cache": service("cache:1", health=False),
        "migrate": service(f"migrate:{version}", health=False, after={"db": "service_healthy"}, restart="no"),
        "app": service(
            f"app:{version}",
            after={"migrate": "service_completed_successfully", "cache": "service_started"},
            deploy={"replicas": 2},
        ),
        "worker": service(f"worker:{version}", health=False, after={"app": "service_healthy"}),
    } | more


def start(version: str = "1") -> Life:
    life = Life()
    for item in ("1", "2", "3"):
        life.behave(f"migrate:{item}", one_shot())
    push(life, version)
    assert life.turn().outcome is Outcome.SUCCEEDED
    return life


def push(life: Life, version: str) -> str:
    return life.push_model({"services": reference(version), "volumes": {"data": {}}})


def advance(life: Life) -> None:
    push(life, "2")


def revert(life: Life) -> None:
    life.behave("worker:2", crashing(0.5))
    push(life, "2")


def revert_in_the_middle(life: Life) -> None:
    life.behave("app:2", never_healthy())
    push(life, "2")


def repair(life: Life) -> None:
    life.machine.vanishes("shop-app-1")
    life.machine.exits("shop-db-1", 1)


def first(life: Life) -> None:
    """The very first commit: nothing ran before."""


FLOWS: dict[str, Callable[[Life], None]] = {
    "advance": advance,
    "revert": revert,
    "revert-middle": revert_in_the_middle,
    "repair": repair,
}


def effects_of(flow: Callable[[Life], None]) -> int:
    life = start()
    life.start()
    flow(life)
    life.turn()
    return life.machine.effects.count


def check_end(life: Life, expected: dict[str, object]) -> None:
    life.start()
    life.turn()
    life.turn()
    assert life.machine.snapshot()["containers"].keys() == expected["names"]
    assert life.running() == expected["running"]
    life.turn()
    assert life.effects == 0
    assert not [name for name in life.ids() if "standby" in name]
    assert not life.machine.overlaps
    assert life.machine.peak <= (4 << 30) - 128 * MiB
    assert {c.restart for c in life.machine.containers.values() if c.service != "migrate"} == {"unless-stopped"}
    assert "shop_data" in life.machine.volumes
    finals = [record for record in life.journal.lines if record["kind"] == "ended" and record["final"]]
    assert len({record["revision"] for record in finals}) == len(finals)
    assert set(life.reporter.told) == {record["revision"] for record in finals}


def ending(flow: Callable[[Life], None]) -> dict[str, object]:
    life = start()
    flow(life)
    life.settle()
    return {"names": life.machine.snapshot()["containers"].keys(), "running": life.running()}


@pytest.mark.parametrize("name", FLOWS)
def test_a_kill_at_any_effect_leads_to_the_same_end(name: str) -> None:
    flow, expected = FLOWS[name], ending(FLOWS[name])
    for n in range(1, effects_of(flow) + 1):
        life = start()
        life.start(crash_at=n)
        flow(life)
        with pytest.raises(Died):
            life.turn()
        check_end(life, expected)


@pytest.mark.parametrize("name", FLOWS)
def test_two_kills_in_a_row_lead_to_the_same_end(name: str) -> None:
    flow, expected = FLOWS[name], ending(FLOWS[name])
    total = effects_of(flow)
    for n in range(1, total + 1, 3):
        for m in range(1, total + 1, 5):
            life = start()
            life.start(crash_at=n)
            flow(life)
            with pytest.raises(Died):
                life.turn()
            life.start(crash_at=m)
            try:
                life.turn()
            except Died:
                life.start()
            check_end(life, expected)
