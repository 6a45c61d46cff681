"""The process is killed at every effect of an advance, a rollback and a repair; the next ones finish the work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reconciler.model.outcome import Outcome
from tests.fakes.behaviour import Behaviour, crashing, never_healthy, one_shot
from tests.fakes.containers import FakeContainer
from tests.fakes.life import Life, service
from tests.fakes.machine import Died

MiB = 1 << 20


def reference(version: str, **more: Any) -> dict[str, Any]:
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


def network(life: Life, version: str = "2") -> None:
    """Another definition of the network under everything."""
    internal = {"networks": {"default": {"internal": True}}}
    life.push_model({"services": reference(version), "volumes": {"data": {}}} | internal)


def network_and_back(life: Life) -> None:
    life.behave("worker:2", crashing(0.5))
    network(life)


def odd(version: str, **more: Any) -> dict[str, Any]:
    """A namespace user, a container with a name of its own, replicas with anonymous volumes, and one that will go."""
    cache: dict[str, Any] = {"volumes": [{"type": "volume", "target": "/cache"}]}
    return {
        "app": service(f"app:{version}", container_name="front"),
        "side": service("side:1", health=False, network_mode="service:app", networks=None, **cache),
        "web": service(f"web:{version}", deploy={"replicas": 2}, **cache),
        "old": service("old:1"),
    } | more


def changed(life: Life, behaviour: Behaviour | None = None) -> None:
    """`old` is removed, and its successor takes over the name of `app`; the network changes, too."""
    services = odd("2", new=service("new:2", container_name="front"))
    services["app"].pop("container_name")
    del services["old"]
    if behaviour:
        life.behave("new:2", behaviour)
    life.push_model({"services": services, "networks": {"default": {"internal": True}}})


def harmed(life: Life) -> None:
    """The namespace owner is gone, one replica is paused, another is down, and one has lost its network."""
    life.machine.vanishes("shop-app-1" if "shop-app-1" in life.ids() else "front")
    life.machine.pauses("shop-web-1")
    life.machine.exits("shop-web-2", 1)
    life.machine.leaves("shop-old-1", "shop_default")


def changed_and_back(life: Life) -> None:
    changed(life, never_healthy())


FLOWS: dict[str, Callable[[Life], None]] = {
    "advance": advance,
    "revert": revert,
    "revert-middle": revert_in_the_middle,
    "repair": repair,
    "network": network,
    "network-revert": network_and_back,
}
ODD_FLOWS: dict[str, Callable[[Life], None]] = {"odd": changed, "odd-revert": changed_and_back, "odd-repair": harmed}


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
    # Each effect once as the first kill; the second kill moves over all of them.
    for n in range(1, total + 1):
        life = start()
        life.start(crash_at=n)
        flow(life)
        with pytest.raises(Died):
            life.turn()
        life.start(crash_at=1 + 7 * n % total)
        life.turn_or_die()
        check_end(life, expected)


def start_odd() -> Life:
    life = Life()
    life.push(**odd("1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    return life


def odd_end(life: Life) -> object:
    """The final state, and which anonymous volumes are used by which container."""
    mounted = {c.name: {m.source for m in c.mounts} for c in life.machine.containers.values()}
    shared = life.machine.named("shop-side-1").network_mode
    namespace_owner = next(c.name for c in life.machine.containers.values() if f"container:{c.id}" == shared)
    restart = {c.restart for c in life.machine.containers.values()}
    networks = {n.digest for n in life.machine.networks.values()}
    return (
        life.running(),
        mounted,
        namespace_owner,
        restart,
        networks,
        {a: len(c.networks) for a, c in named(life).items()},
    )


def named(life: Life) -> dict[str, FakeContainer]:
    return {c.name: c for c in life.machine.containers.values()}


@pytest.mark.parametrize("name", ODD_FLOWS)
def test_a_kill_at_any_effect_keeps_names_volumes_and_namespace_users(name: str) -> None:
    flow, n = ODD_FLOWS[name], 0
    life = start_odd()
    flow(life)
    life.settle()
    expected = odd_end(life)
    while True:
        n += 1
        life = start_odd()
        life.start(crash_at=n)
        flow(life)
        if life.turn_or_die() is None:
            life.turn()
            life.turn()
            assert odd_end(life) == expected, n
            life.turn()
            assert life.effects == 0, n
        else:
            break
    assert n > 10


def test_a_kill_at_any_effect_of_the_first_commit_ever() -> None:
    for behaviour, running in ((None, 5), (never_healthy(), 0)):
        n = 0
        died = True
        while died:
            n += 1
            life = Life()
            life.behave("migrate:1", one_shot())
            life.behave("app:1", behaviour or Behaviour())
            life.start(crash_at=n)
            push(life, "1")
            died = life.turn_or_die() is None
            life.turn()
            life.turn()
            assert len(life.running()) == running, n
            life.turn()
            assert life.effects == 0, n
            assert "shop_data" in life.machine.volumes
        assert n > 10
