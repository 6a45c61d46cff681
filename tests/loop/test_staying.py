"""A running service that looks like a one-shot."""

from __future__ import annotations

from reconciler.model.outcome import Outcome
from tests.fakes.behaviour import (
    crashing,
)
from tests.fakes.life import Life, service


def staying(version: str, web: str) -> dict[str, dict[str, object]]:
    """A worker that has no restart policy, as a one-shot has none, but does not end by itself."""
    return {"worker": service(f"worker:{version}", health=False, restart="no"), "web": service(web)}


def test_what_ran_before_runs_again_though_nothing_says_that_it_is_to_go_on() -> None:
    life = Life()
    life.push(**staying("1", "web:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    before = life.machine.snapshot()
    life.behave("web:2", crashing(0.5))
    life.push(**staying("2", "web:2"))
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.machine.snapshot() == before
    assert life.running() == {"shop-worker-1": "worker:1", "shop-web-1": "web:1"}
    life.turn()
    assert life.effects == 0


def test_it_runs_again_after_a_kill_at_any_effect_of_its_way() -> None:
    n, died = 0, True
    while died:
        n += 1
        life = Life()
        life.push(**staying("1", "web:1"))
        assert life.turn().outcome is Outcome.SUCCEEDED
        life.behave("web:2", crashing(0.5))
        life.start(crash_at=n)
        life.push(**staying("2", "web:2"))
        died = life.turn_or_die() is None
        life.settle()
        assert life.running() == {"shop-worker-1": "worker:1", "shop-web-1": "web:1"}, n
    assert n > 15


def test_once_it_ends_by_itself_it_is_not_started_again() -> None:
    life = Life()
    life.push(**staying("1", "web:1"))
    life.turn()
    life.behave("web:2", crashing(0.5))
    life.push(**staying("2", "web:2"))
    assert life.turn().outcome is Outcome.ROLLED_BACK
    life.machine.exits("shop-worker-1", 0)
    for _ in range(3):
        life.start()
        life.turn()
    assert life.running() == {"shop-web-1": "web:1"}
