"""Faults of the machine in memory, beyond what it has in common with the real one (tests/contract)."""

from __future__ import annotations

import pytest

from reconciler.errors import Away, ImageFailed, Transient
from reconciler.model.creation import Creation
from reconciler.model.desired import Service, Stack
from reconciler.model.images import Image, ImageWant
from tests.contract.services import MEMORY, attached, network, service, volume
from tests.fakes.behaviour import Behaviour, crashing, healthy, one_shot
from tests.fakes.machine import Died, FakeMachine


@pytest.fixture
def machine() -> FakeMachine:
    return FakeMachine()


def create(machine: FakeMachine, made: Service) -> str:
    before = set(machine.containers)
    there = len(machine.observer.look([made.stack]).of(made.stack, made.name))
    creation = Creation(made, 1, {}, {})
    machine.applier.create(Stack(made.stack, (made,), (), ()), [creation], {made.name: there})
    [new] = machine.containers.keys() - before
    return new


def test_effect_at_which_the_process_dies_does_not_happen(machine: FakeMachine) -> None:
    container = create(machine, service("shop", "web", "sha256:web"))
    machine.crash_at(2)
    machine.applier.update(container, "always")
    with pytest.raises(Died):
        machine.applier.start(container)
    assert machine.containers[container].state == "created"
    machine.crash_at(None)
    machine.applier.start(container)
    assert machine.containers[container].state == "running"
    assert machine.trace[-2:] == [f"update {container[:12]} restart=always", f"start {container[:12]}"]


def test_engine_is_away_for_a_while_and_containers_live_on(machine: FakeMachine) -> None:
    made = service("shop", "web", "sha256:web", healthcheck=True)
    machine.behave(made.spec, healthy(3.0))
    container = create(machine, made)
    machine.applier.start(container)
    with machine.observer.watch() as watch:
        machine.go_away(5.0)
        for call in (
            lambda: machine.observer.look(["shop"]),
            lambda: machine.observer.details([container]),
            lambda: machine.applier.stop_all({container: 1}),
        ):
            with pytest.raises(Away):
                call()
        assert not watch.wait(1.0)
        machine.advance(5.0)
        assert machine.observer.details([container])[container].health == "healthy"


def test_slow_engine_takes_its_time(machine: FakeMachine) -> None:
    machine.call_takes = 2.0
    machine.observer.look(["shop"])
    machine.observer.inspect(["shop"])
    assert machine.clock.monotonic() == 4.0


def test_waiting_jumps_to_what_happens_next(machine: FakeMachine) -> None:
    made = service("shop", "web", "sha256:web", healthcheck=True)
    machine.behave(made.spec, healthy(600.0))
    machine.applier.start(create(machine, made))
    with machine.observer.watch() as watch:
        assert watch.wait(1000.0)
        assert machine.clock.monotonic() == 600.0
        assert watch.wait(10.0)
        assert machine.clock.monotonic() == 610.0


def test_running_memory_and_its_peak(machine: FakeMachine) -> None:
    machine.add_foreign("other", 1000)
    made = service("shop", "web", "sha256:web")
    first, second = create(machine, made), create(machine, made)
    machine.applier.start(first)
    assert machine.running_memory() == MEMORY + 1000
    machine.applier.start(second)
    machine.applier.stop_all({first: 1})
    assert (machine.running_memory(), machine.peak) == (MEMORY + 1000, 2 * MEMORY + 1000)


def test_two_specs_on_one_volume_at_once_are_noted(machine: FakeMachine) -> None:
    machine.applier.create_volume(volume("shop", "data"))
    mounts = {"volumes": [{"type": "volume", "source": "shop_data", "target": "/data"}]}
    old = create(machine, service("shop", "db", "sha256:db", config=mounts))
    new = create(machine, service("shop", "db", "sha256:db", config=mounts, revision="2"))
    machine.applier.start(old)
    assert machine.overlaps == []
    machine.applier.start(new)
    assert machine.overlaps == ["shop-db-2 and shop-db-1 on shop_data"]


def test_service_exits_without_what_it_needs(machine: FakeMachine) -> None:
    database, web = service("shop", "db", "sha256:db"), service("shop", "web", "sha256:web")
    machine.behave(web.spec, Behaviour(needs=("db",)))
    lonely = create(machine, web)
    machine.applier.start(lonely)
    machine.advance(1)
    assert (machine.containers[lonely].state, machine.containers[lonely].exit_code) == ("exited", 1)
    machine.applier.start(create(machine, database))
    machine.applier.start(lonely)
    machine.advance(1)
    assert machine.containers[lonely].state == "running"


def test_crashes_twice_then_runs(machine: FakeMachine) -> None:
    made = service("shop", "web", "sha256:web")
    machine.behave(made.spec, crashing(1.0, times=2))
    container = create(machine, made)
    machine.applier.update(container, "always")
    machine.applier.start(container)
    machine.advance(100)
    assert (machine.containers[container].state, machine.containers[container].restart_count) == ("running", 2)


def test_good_container_goes_bad_when_told(machine: FakeMachine) -> None:
    made = service("shop", "web", "sha256:web", healthcheck=True)
    container = create(machine, made)
    machine.applier.start(container)
    machine.advance(1)
    machine.turns("shop-web-1", "unhealthy")
    assert machine.observer.details([container])[container].health == "unhealthy"
    machine.exits("shop-web-1", 9)
    assert machine.observer.details([container])[container].exit_code == 9
    machine.vanishes("shop-web-1")
    assert machine.observer.look(["shop"]).containers == ()


def test_what_was_scheduled_in_one_life_does_not_happen_in_the_next(machine: FakeMachine) -> None:
    made = service("shop", "web", "sha256:web")
    machine.behave(made.spec, one_shot(10.0, code=4))
    container = create(machine, made)
    machine.applier.start(container)
    machine.applier.stop_all({container: 1})
    machine.behave(made.spec, healthy(1.0))
    machine.applier.start(container)
    machine.advance(20)
    assert machine.containers[container].state == "running"


def test_snapshot_tells_a_replaced_container_from_the_first(machine: FakeMachine) -> None:
    machine.applier.create_network(network("shop"))
    endpoints = attached(service("shop", "web", "sha256:web"))
    container = create(machine, endpoints)
    before = machine.snapshot()
    machine.applier.start(container)
    assert machine.snapshot() != before
    machine.containers[container].state = "created"
    assert machine.snapshot() == before


def test_scale_below_what_exists_is_never_asked_for(machine: FakeMachine) -> None:
    made = service("shop", "web", "sha256:web")
    create(machine, made)
    create(machine, made)
    with pytest.raises(AssertionError, match="below the 2 that exist"):
        machine.applier.create(Stack("shop", (made,), (), ()), [Creation(made, 1, {}, {})], {})


def test_images_are_pulled_and_built_or_not(machine: FakeMachine) -> None:
    pulled = ImageWant("shop", "db", "db:1", "k1", "")
    built = ImageWant("shop", "web", "web", "k2", "reconciler/shop-web:k2", build={"context": "."})
    assert machine.image_list.local([pulled, built]) == {}
    with pytest.raises(ImageFailed):
        machine.applier.pull(pulled)
    machine.registry["db:1"] = Image("sha256:db")
    machine.registry_away = True
    with pytest.raises(Transient):
        machine.applier.pull(pulled)
    machine.registry_away = False
    machine.build_failures.add("k2")
    with pytest.raises(ImageFailed):
        machine.applier.build(built, files=None)  # type: ignore[arg-type]
    machine.build_failures.clear()
    wanted = {"k1": machine.applier.pull(pulled), "k2": machine.applier.build(built, files=None)}  # type: ignore[arg-type]
    assert machine.image_list.local([pulled, built]) == wanted
