"""The agent waits for a container name that a foreign container has, and stops nothing for it."""

from __future__ import annotations

import pytest

from reconciler.decide.drift.adoption import without_unmanaged
from reconciler.decide.hold.names import taken
from reconciler.loop.turn import Turn
from reconciler.model.desired import DesiredState
from reconciler.model.documents import Memory
from reconciler.model.observed import Container, ObservedState
from reconciler.model.outcome import Intent, Outcome, Reason
from reconciler.model.plan import Action, Plan, Step
from tests.fakes.life import Life, service
from tests.loop.lives import proven


def begun() -> Life:
    return proven(a=service("a:1"), b=service("b:1"))


def waits(life: Life, name: str) -> Turn:
    """The turns change nothing and name the holder."""
    before, starts = life.machine.snapshot(), [item.starts for item in life.machine.containers.values()]
    for _ in range(2):
        turn = life.turn()
        assert (turn.outcome, turn.reason) == (Outcome.FAILED, Reason.DEPENDENCY_NOT_READY)
        assert f"needs the container name {name}, which a container" in turn.message
        assert f"docker rename {name} {name}-old, or docker rm {name}" in turn.hint
        assert life.effects == 0
    assert life.machine.snapshot() == before
    assert [item.starts for item in life.machine.containers.values()] == starts
    return turn


def test_a_fixed_name_that_a_foreign_container_has() -> None:
    life = begun()
    life.machine.add_foreign("web", 0)
    life.push(a=service("a:2"), b=service("b:1", container_name="web"))
    life.turn()
    waits(life, "web")
    del life.machine.foreign["web"]
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.running() == {"shop-a-1": "a:2", "web": "b:1"}


def test_a_name_that_somebody_took_while_the_service_was_away() -> None:
    life = begun()
    life.machine.vanishes("shop-a-1")
    life.machine.add_foreign("shop-a-1", 0)
    life.turn()
    waits(life, "shop-a-1")
    del life.machine.foreign["shop-a-1"]
    assert life.turn().reason is Reason.DRIFT_CORRECTED


@pytest.mark.parametrize("name", ["shop-c-1", "shop-a-2", "shop-c-2"])
def test_names_that_compose_gives_are_taken_too(name: str) -> None:
    """The name of a new service, and the names of new containers beside the old ones."""
    life = begun()
    life.machine.add_foreign(name, 0)
    life.push(a=service("a:2"), b=service("b:1"), c=service("c:1", health=False, deploy={"replicas": 2}))
    life.turn()
    waits(life, name)


def test_a_container_that_compose_run_has_left_keeps_its_name() -> None:
    """It is in our own project, and still nobody may stop or rename it."""
    left = Container("x", "web", "shop", "c", 1, "exited", oneoff=True)
    found = without_unmanaged(ObservedState(containers=(left,)), DesiredState("mini", "", "", Memory(), ()), {})
    assert found.others == {"web": "shop"}
    step = Step(1, Action.START_CONTAINER, "shop", "b", "web", "created", 0, name="web")
    plan = Plan(Intent.ADVANCE, "0" * 40, None, (step,))
    assert [item.message for item in taken(plan, found, ())] == [
        "shop/b needs the container name web, which a container of the project shop has that is not ours"
    ]


def test_a_foreign_standby_name_is_gone_around() -> None:
    life = begun()
    life.machine.add_foreign("shop-a-1.standby", 0)
    life.push(a=service("a:2"), b=service("b:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
