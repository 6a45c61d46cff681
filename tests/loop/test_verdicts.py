"""Which commits are quarantined, which are not, and how the rollback goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reconciler.model.outcome import Outcome, Reason
from tests.fakes.behaviour import (
    Behaviour,
    crashing,
    flapping,
    healthy,
    never_healthy,
    one_shot,
    out_of_memory,
)
from tests.fakes.life import Life, service
from tests.fakes.machine import Died, FakeMachine
from tests.loop.lives import proven, settled


def verdict(behaviour: Behaviour, **more: object) -> tuple[Outcome, Reason]:
    """The outcome of a commit whose web behaves like this."""
    life = proven(web=service("web:1"), other=service("other:1"))
    before = life.machine.snapshot()
    life.behave("web:2", behaviour)
    life.push(web=service("web:2", **more), other=service("other:1"))  # type: ignore[arg-type]  # any key
    turn = life.turn()
    if turn.outcome is Outcome.ROLLED_BACK:
        assert life.machine.snapshot() == before
    return turn.outcome, turn.reason


def test_verdicts() -> None:
    good, back = Outcome.SUCCEEDED, Outcome.ROLLED_BACK
    fine = (good, Reason.RECONCILIATION_SUCCEEDED)
    assert verdict(healthy(15.0)) == fine
    assert verdict(healthy(19.9)) == fine
    assert verdict(healthy(21.0)) == (back, Reason.HEALTH_CHECK_FAILED)
    assert verdict(never_healthy()) == (back, Reason.HEALTH_CHECK_FAILED)
    assert verdict(flapping(1.0)) == (back, Reason.HEALTH_CHECK_FAILED)
    assert verdict(crashing(2.0), restart="always") == (back, Reason.CRASHED)
    assert verdict(crashing(0.1), restart="always") == (back, Reason.CRASHED)
    assert verdict(crashing(0.1), restart="no") == (back, Reason.CRASHED)
    assert verdict(crashing(0.3, times=2), restart="always") == fine
    assert verdict(out_of_memory(0.3)) == (back, Reason.OUT_OF_MEMORY)
    assert verdict(out_of_memory(0.3, kills=True), restart="always") == (back, Reason.OUT_OF_MEMORY)
    assert verdict(crashing(1.0, code=0), restart="no") == (back, Reason.CRASHED)
    assert verdict(Behaviour(refuses="exec not found")) == (back, Reason.CRASHED)
    assert verdict(Behaviour(refuses="could not select device driver")) == (back, Reason.ENGINE_REFUSED)


def test_what_the_engine_refuses_is_quarantined() -> None:
    life = proven(web=service("web:1"))
    life.behave("web:2", Behaviour(refuses="non-shareable IPC"))
    bad = life.push(web=service("web:2"))
    assert life.turn().reason is Reason.ENGINE_REFUSED
    assert bad in life.cycle.history.quarantined
    assert life.turn().exit_code == 1
    assert life.effects == 0


def test_a_service_that_was_unhealthy_before_is_not_held_against_the_commit() -> None:
    life = proven(web=service("web:1"), other=service("other:1"))
    life.machine.turns("shop-other-1", "unhealthy")
    life.push(web=service("web:2"), other=service("other:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED


def test_the_same_content_is_never_tried_twice() -> None:
    life = proven(web=service("web:1"))
    life.behave("web:2", never_healthy())
    life.push(web=service("web:2"))
    assert life.turn().outcome is Outcome.ROLLED_BACK
    again = life.push(web=service("web:2"))
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.REJECTED, Reason.REVISION_QUARANTINED)
    assert life.reporter.told[again] == ("failure", "RevisionQuarantined")
    back = life.push(web=service("web:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.reporter.told[back][0] == "success"
    assert life.machine.named("shop-web-1").starts == 2


def test_a_rollback_that_fails_is_not_taken_twice() -> None:
    life = proven(web=service("web:1"))
    life.behave("web:2", never_healthy())
    life.behave("web:1", never_healthy())
    bad = life.push(web=service("web:2"))
    turn = life.turn()
    assert (turn.outcome, turn.exit_code) == (Outcome.ROLLBACK_FAILED, 4)
    for _ in range(2):
        turn = life.turn()
        assert (turn.outcome, turn.reason, turn.exit_code) == (Outcome.HELD, Reason.STALLED, 4)
        assert life.effects == 0
    assert life.reporter.told[bad] == ("failure", "RollbackFailed")
    life.push(web=service("web:3"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.running() == {"shop-web-1": "web:3"}


def test_the_rollback_is_not_blocked_by_what_others_take_meanwhile() -> None:
    life = proven(web=service("web:1"))
    before = life.machine.snapshot()
    life.behave("web:2", never_healthy())
    life.push(web=service("web:2"))
    life.during["StopContainer"] = lambda: life.machine.add_foreign("hog", 4 << 30)
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.machine.snapshot() == before


def test_a_service_that_was_unhealthy_before_does_not_spoil_the_rollback() -> None:
    life = proven(web=service("web:1"), other=service("other:1", after={"web": "service_healthy"}))
    before = life.machine.snapshot()
    life.machine.turns("shop-other-1", "unhealthy")
    life.behave("web:2", never_healthy())
    life.push(web=service("web:2"), other=service("other:2", after={"web": "service_healthy"}))
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.machine.snapshot() == before


def migrating(version: str) -> dict[str, Any]:
    return {
        "migrate": service(f"migrate:{version}", health=False, restart="no"),
        "web": service(f"web:{version}", after={"migrate": "service_completed_successfully"}),
    }


def test_a_one_shot_that_ended_while_nobody_looked_is_never_run_again() -> None:
    life = Life()
    for version in ("1", "2"):
        life.behave(f"migrate:{version}", one_shot())
    life.push(**migrating("1"))
    settled(life)
    life.behave("web:2", never_healthy())
    life.push(**migrating("2"))
    life.start()

    def die() -> None:
        raise Died

    life.during["WaitHealthy"] = die
    with pytest.raises(Died):
        life.turn()
    life.machine.advance(5)
    life.start()
    turn = life.turn()
    assert turn.outcome is Outcome.ROLLED_BACK
    assert "migrate already ran" in turn.message


def test_a_one_shot_that_never_ends_is_a_failure() -> None:
    life = Life()
    life.behave("migrate:1", one_shot(takes=1e9))
    life.push(**migrating("1"))
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.ROLLED_BACK, Reason.HEALTH_CHECK_FAILED)
    assert life.machine.clock.seconds < 200


@pytest.mark.parametrize("state", ["restarting", "paused"])
def test_a_service_that_was_broken_before_is_not_held_against_the_commit(state: str) -> None:
    life = proven(web=service("web:1"), other=service("other:1", health=False))
    life.machine.named("shop-other-1").state = state
    life.push(web=service("web:2"), other=service("other:1", health=False))
    assert life.turn().outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize(
    ("done", "change_by_hand"),
    [
        ("disconnected", lambda machine: machine.leaves("shop-web-1", "shop_default")),
        ("paused", lambda machine: machine.pauses("shop-web-1")),
        ("stopped", lambda machine: machine.halt(machine.named("shop-web-1"), 1.0)),
        ("removed", lambda machine: machine.vanishes("shop-web-1")),
    ],
)
def test_no_commit_is_quarantined_for_what_somebody_does(
    done: str, change_by_hand: Callable[[FakeMachine], None]
) -> None:
    life = proven(web=service("web:1", restart="no"))
    life.push(web=service("web:2", restart="no"))
    life.during["WaitHealthy"] = lambda: change_by_hand(life.machine)
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.FAILED, Reason.DEPENDENCY_NOT_READY), turn
    assert turn.message == f"shop/web: somebody {done} its container"
    assert life.running() == {"shop-web-1": "web:1"}
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.running() == {"shop-web-1": "web:2"}


def test_whoever_restarts_what_is_unhealthy_does_not_hide_a_bad_commit() -> None:
    life = proven(web=service("web:1"))
    life.behave("web:2", never_healthy())
    life.push(web=service("web:2"))

    def restart() -> None:
        container = life.machine.named("shop-web-1")
        life.machine.halt(container, 1.0)
        life.machine.run(container)

    life.during["WaitHealthy"] = restart
    assert life.turn().outcome is Outcome.ROLLED_BACK
