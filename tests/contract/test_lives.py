"""Lives of containers: create, start, health, exits, memory, stop. The same in memory and on every real engine."""

from __future__ import annotations

import pytest

from reconciler.errors import RolloutFailed, Transient
from reconciler.model.observed import Container
from reconciler.model.outcome import Reason
from tests.contract.services import HOST, MEMORY
from tests.contract.worlds import World
from tests.fakes.behaviour import (
    Behaviour,
    crashing,
    flapping,
    healthy,
    never_healthy,
    one_shot,
    out_of_memory,
    refusing,
)


def exited(container: Container) -> bool:
    return container.state == "exited"


def test_created_container_is_complete_and_does_not_run(world: World) -> None:
    service = world.service("web", healthcheck=True)
    [container] = world.create(service)
    assert container.name == f"{world.stack}-web-1"
    assert (container.stack, container.service, container.number) == (world.stack, "web", 1)
    assert (container.state, container.health, container.started_at) == ("created", "none", "")
    assert (container.spec, container.host, container.image) == (service.spec, HOST, world.images["actor"])
    assert (container.restart, container.memory, container.detailed) == ("no", MEMORY, True)
    assert not container.running


def test_sparse_look_agrees_with_inspect(world: World) -> None:
    container = world.started("web", healthy(0.3), healthcheck=True)
    container = world.until(container.id, lambda c: c.health == "healthy")
    [sparse] = world.observer.look([world.stack]).containers
    assert not sparse.detailed
    for name in ("id", "name", "stack", "service", "number", "state", "health", "image", "spec", "host",
                 "networks", "network_mode", "mounts", "ports"):  # fmt: skip
        assert getattr(sparse, name) == getattr(container, name), name


def test_look_sees_the_asked_stacks_only(world: World) -> None:
    world.created("web")
    assert world.observer.look([]).containers == ()
    assert world.observer.look(["another-stack"]).containers == ()
    assert len(world.observer.look(["another-stack", world.stack]).containers) == 1


def started_anew(world: World, container: str, before: float) -> Container:
    """Its state less than `before` seconds after its start; a busy machine is asked again."""
    for _ in range(10):
        began = world.clock.monotonic()
        world.applier.start(container)
        found = world.detail(container)
        if world.clock.monotonic() - began < before:
            return found
        world.applier.stop_all({container: 5})
    pytest.fail("this machine is too slow to see a container start")


def test_health_goes_from_starting_to_healthy(world: World) -> None:
    container = started_anew(world, world.created("web", healthy(1.5), healthcheck=True).id, before=1.5)
    assert (container.state, container.health) == ("running", "starting")
    world.until(container.id, lambda c: c.health == "healthy")


def test_container_without_healthcheck_has_no_health(world: World) -> None:
    container = world.started("web")
    assert (container.state, container.health) == ("running", "none")
    assert container.running


def test_never_healthy_becomes_unhealthy(world: World) -> None:
    container = world.started("web", never_healthy(0.6), healthcheck=True)
    world.until(container.id, lambda c: c.health == "unhealthy")
    assert world.observer.health_output(container.id) == "probed"


def test_health_flaps(world: World) -> None:
    container = world.started("web", flapping(1.2, flips=60), healthcheck=True)
    # A busy machine may miss one phase, but there are several.
    for health in ("healthy", "unhealthy", "healthy"):
        world.until(container.id, lambda c, health=health: c.health == health)


def test_stopped_container_has_no_health(world: World) -> None:
    container = world.started("web", never_healthy(0.3), healthcheck=True)
    world.until(container.id, lambda c: c.health == "unhealthy")
    world.applier.stop_all({container.id: 5})
    assert world.detail(container.id).health == "none"
    assert world.observer.look([world.stack]).containers[0].health == "none"


def test_health_starts_anew_with_each_start(world: World) -> None:
    container = world.started("web", healthy(1.5), healthcheck=True)
    world.until(container.id, lambda c: c.health == "healthy")
    world.applier.stop_all({container.id: 5})
    assert started_anew(world, container.id, before=1.5).health == "starting"
    world.until(container.id, lambda c: c.health == "healthy")


@pytest.mark.parametrize("code", [0, 3])
def test_exit_code_is_kept(world: World, code: int) -> None:
    container = world.started("migrate", one_shot(0.3, code))
    ended = world.until(container.id, exited)
    assert (ended.exit_code, world.restarts(ended.id), ended.oom_killed) == (code, 0, False)
    assert world.observer.logs(container.id, 5) == ("started",)


def test_started_again_by_us_it_counts_from_zero(world: World) -> None:
    container = world.started("web", crashing(0.3, code=2, times=1))
    first = world.until(container.id, exited)
    world.applier.start(container.id)
    world.elapse(1.0)
    again = world.detail(container.id)
    assert (again.state, world.restarts(again.id)) == ("running", 0)
    assert again.started_at > first.started_at


def test_restart_policy_is_set_and_followed(world: World) -> None:
    container = world.created("web", crashing(0.2, code=1))
    world.applier.update(container.id, "on-failure:2")
    assert world.detail(container.id).restart == "on-failure:2"
    world.applier.start(container.id)
    ended = world.until(container.id, lambda c: exited(c) and world.restarts(c.id) == 2)
    assert ended.exit_code == 1


def test_policy_taken_away_ends_the_restarts(world: World) -> None:
    container = world.created("web", crashing(0.2, code=1))
    world.applier.update(container.id, "always")
    world.applier.start(container.id)
    world.until(container.id, lambda c: world.restarts(c.id) >= 1)
    world.applier.update(container.id, "no")
    world.applier.stop_all({container.id: 5})
    count = world.restarts(container.id)
    world.elapse(1.0)
    after = world.detail(container.id)
    assert (after.state, after.restart, world.restarts(after.id)) == ("exited", "no", count)


def test_stopped_by_us_is_not_restarted_by_its_policy(world: World) -> None:
    container = world.created("web")
    world.applier.update(container.id, "always")
    world.applier.start(container.id)
    world.applier.stop_all({container.id: 5})
    world.elapse(1.0)
    assert world.detail(container.id).state == "exited"


def test_oom_of_a_child_is_told_though_the_container_lives(world: World) -> None:
    container = world.created("web", out_of_memory(0.3))
    with world.observer.watch() as watch:
        world.applier.start(container.id)
        deadline = world.clock.monotonic() + 60
        while container.id not in watch.events() and world.clock.monotonic() < deadline:
            watch.wait(1)
        assert watch.events() == {container.id: {"oom"}}
    world.until(container.id, lambda c: c.oom_killed)
    assert world.detail(container.id).state == "running"


def test_oom_of_the_main_process_ends_the_container(world: World) -> None:
    container = world.started("web", out_of_memory(0.3, kills=True))
    ended = world.until(container.id, exited)
    assert (ended.exit_code, ended.oom_killed) == (137, True)


def test_stop_lets_it_end_by_itself(world: World) -> None:
    container = world.ready("web")
    began = world.clock.monotonic()
    world.applier.stop_all({container.id: 60})
    assert world.detail(container.id).exit_code == 0
    assert world.clock.monotonic() - began < 50


def test_stop_kills_after_the_grace(world: World) -> None:
    container = world.ready("web", Behaviour(ignores_stop=True))
    began = world.clock.monotonic()
    world.applier.stop_all({container.id: 1})
    assert (world.detail(container.id).state, world.detail(container.id).exit_code) == ("exited", 137)
    assert world.clock.monotonic() - began >= 1


def test_starting_and_stopping_twice_changes_nothing(world: World) -> None:
    container = world.started("web")
    world.applier.start(container.id)
    assert world.detail(container.id).started_at == container.started_at
    world.applier.stop_all({container.id: 5})
    world.applier.stop_all({container.id: 5})
    assert world.detail(container.id).state == "exited"


def test_program_that_is_not_there_is_refused(world: World) -> None:
    container = world.created("web", refusing("no such file or directory"))
    with pytest.raises(RolloutFailed) as refused:
        world.applier.start(container.id)
    assert refused.value.failure.reason is Reason.CRASHED
    assert "no such file or directory" in refused.value.message
    assert refused.value.hint
    assert world.detail(container.id).state == "created"


def test_started_together_all_run_but_those_that_are_refused(world: World) -> None:
    made = [world.created(name) for name in ("db", "cache")]
    bad = world.created("web", refusing("no such file or directory"))
    refused = world.applier.start_all([made[0].id, bad.id, made[1].id])
    assert list(refused) == [bad.id]
    assert "no such file or directory" in refused[bad.id].message
    assert [world.detail(item.id).state for item in (*made, bad)] == ["running", "running", "created"]
    assert world.applier.start_all([item.id for item in made]) == {}


def test_policies_are_set_together_and_one_that_is_gone_hinders_no_other(world: World) -> None:
    made = [world.created(name) for name in ("db", "cache")]
    with pytest.raises(Transient):
        world.applier.update_all({made[0].id: "always", "0" * 64: "always", made[1].id: "on-failure:3"})
    assert [world.detail(item.id).restart for item in made] == ["always", "on-failure:3"]


def test_events_say_which_container_they_are_about(world: World) -> None:
    with world.observer.watch() as watch:
        first, second = world.started("web"), world.started("db")
        seen: set[str] = set()
        deadline = world.clock.monotonic() + 60.0
        while not {first.id, second.id} <= seen and world.clock.monotonic() < deadline:
            watch.wait(1.0)
            seen |= watch.touched()
        assert {first.id, second.id} <= seen
        while watch.touched():
            watch.wait(1.0)
        world.applier.stop_all({second.id: 0.0})
        deadline = world.clock.monotonic() + 60.0
        while not (touched := watch.touched()) and world.clock.monotonic() < deadline:
            watch.wait(1.0)
        assert touched == {second.id}


def test_wait_returns_at_an_event_and_at_the_timeout(world: World) -> None:
    container = world.created("web", one_shot(0.5))
    with world.observer.watch() as watch:
        began = world.clock.monotonic()
        world.applier.start(container.id)
        assert watch.wait(60)
        assert world.clock.monotonic() - began < 30
        world.until(container.id, exited)
    with world.observer.watch() as watch:
        began = world.clock.monotonic()
        assert watch.wait(0.3)
        assert 0.3 <= world.clock.monotonic() - began < 30
