"""Heads that are held, rejected or superseded, also in the middle of a rollout."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.decide.hold.shrinking import WINDOW
from reconciler.model.outcome import Outcome, Reason
from tests.fakes.behaviour import (
    always_starting,
    healthy,
    never_healthy,
)
from tests.fakes.life import Life, service
from tests.loop.lives import assert_quiet, dies_before, proven, settled


def test_a_rewritten_branch_is_held() -> None:
    life = proven(web=service("web:1"))
    life.push(web=service("web:2"))
    settled(life)
    life.source.rewind(1)
    life.push(web=service("web:3"))
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.HELD, Reason.NOT_FAST_FORWARD)
    assert life.effects == 0
    assert life.running() == {"shop-web-1": "web:2"}


def test_a_commit_that_drops_most_services_is_held() -> None:
    life = proven(**{name: service(f"{name}:1") for name in "abcd"})
    life.push(a=service("a:1"))
    assert life.turn().outcome is Outcome.HELD
    assert len(life.running()) == 4


def test_services_without_containers_are_as_good_as_dropped() -> None:
    life = proven(**{name: service(f"{name}:1") for name in "abcd"})
    life.push(a=service("a:1"), **{name: service(f"{name}:1", scale=0) for name in "bcd"})
    turn = life.turn()
    assert turn.outcome is Outcome.HELD
    assert "drops 3 of 4 services at once (shop/b, shop/c, shop/d)" in turn.message
    assert len(life.running()) == 4


def test_halving_twice_is_held_on_the_same_day_and_not_on_the_next() -> None:
    life = proven(**{name: service(f"{name}:1") for name in "abcd"})
    life.push(a=service("a:1"), b=service("b:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.push(a=service("a:1"), b=service("b:2"))
    assert life.turn().outcome is Outcome.SUCCEEDED, "what drops nothing more is not asked about"
    life.push(a=service("a:1"), b=service("b:2", scale=0))
    turn = life.turn()
    assert (turn.outcome, len(life.running())) == (Outcome.HELD, 2)
    assert "drops 3 of 4 services in a day, with the commits before it" in turn.message
    life.machine.clock.seconds += WINDOW + 1
    assert life.turn().outcome is Outcome.SUCCEEDED


def test_what_was_accepted_is_not_asked_about_again() -> None:
    life = proven(**{name: service(f"{name}:1") for name in "abcdef"})
    small = life.push(a=service("a:1"), b=service("b:1"))
    assert life.turn().outcome is Outcome.HELD
    life.ask("accept", small)
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.push(a=service("a:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED, "one of two is no more than half"


@pytest.mark.parametrize(("interval", "noticed"), [(5.0, False), (1000.0, True)])
def test_a_newer_commit_overtakes_what_waits(interval: float, noticed: bool) -> None:
    life = Life(interval=interval)
    life.push(web=service("web:1"))
    settled(life)
    life.behave("web:2", never_healthy(after=1000))
    slow = life.push(web=service("web:2"))

    def newer() -> None:
        life.push(web=service("web:3"))
        life.pushed = noticed

    life.during["WaitHealthy"] = newer
    turn = life.turn()
    assert turn.outcome is Outcome.SUCCEEDED
    assert life.running() == {"shop-web-1": "web:3"}
    assert life.reporter.told[slow] == ("superseded", "Superseded")
    assert life.machine.clock.seconds < 60
    assert life.turn().outcome is Outcome.UNCHANGED
    assert list(life.ids()) == ["shop-web-1"]


def test_a_newer_commit_about_something_else_waits_for_the_verdict() -> None:
    life = proven(web=service("web:1"), other=service("other:1"))
    life.behave("web:2", healthy(12.0))
    slow = life.push(web=service("web:2"), other=service("other:1"))
    life.during["WaitHealthy"] = lambda: life.push(web=service("web:2"), other=service("other:2"))
    assert life.turn().revision == slow
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.running()["shop-other-1"] == "other:2"


def test_a_cut_off_rollout_goes_back_when_the_next_commit_is_refused() -> None:
    life = proven(web=service("web:1"), other=service("other:1"))
    before = life.machine.snapshot()
    life.push(web=service("web:2"), other=service("other:2"))
    count = life.machine.effects.count
    life.start(crash_at=10)
    assert life.turn_or_die() is None, count
    assert life.machine.snapshot() != before
    cut_off = life.source.branch[-1]
    refused = life.push(web=service("web:3", mem_limit=str(8 << 30)), other=service("other:1"))
    assert life.turn().outcome is Outcome.REJECTED
    assert life.machine.snapshot() == before
    assert life.reporter.told[cut_off][0] == "superseded"
    assert life.reporter.told[refused][0] == "failure"
    assert life.turn().exit_code == 1
    assert life.effects == 0


def test_a_cut_off_rollout_is_finished_while_the_branch_is_rewritten() -> None:
    life = proven(web=service("web:1"))
    wanted = life.push(web=service("web:2"))
    life.start(crash_at=10)
    assert life.turn_or_die() is None
    life.source.rewind(1)
    life.push(web=service("web:3"))
    turn = life.turn()
    assert (turn.outcome, turn.revision) == (Outcome.SUCCEEDED, wanted)
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.HELD, Reason.NOT_FAST_FORWARD)
    assert life.running() == {"shop-web-1": "web:2"}


def three(version: str) -> dict[str, Any]:
    return {name: service(f"{name}:{version}") for name in ("web", "api", "db")}


def test_a_held_commit_leaves_a_cut_off_rollout_at_last_good() -> None:
    life = proven(**three("1"))
    before = life.machine.snapshot()
    life.push(**three("2"))
    life.start()
    dies_before(life, "journal ended")
    life.push(db=service("db:1"))
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.HELD, Reason.CONSENT_MISSING)
    assert life.machine.snapshot() == before
    assert_quiet(life)


def test_a_commit_that_overtakes_and_is_then_held_leaves_last_good() -> None:
    life = proven(**three("1"))
    before = life.machine.snapshot()
    life.behave("web:2", always_starting())
    life.push(**three("2"))
    life.during["WaitHealthy"] = lambda: life.push(db=service("db:1"))
    turn = life.turn()
    assert turn.outcome is Outcome.HELD
    assert life.machine.snapshot() == before
    assert_quiet(life)


def test_a_commit_that_overtakes_and_cannot_be_judged_leaves_last_good() -> None:
    life = proven(web=service("web:1"), db=service("db:1"))
    before = life.machine.snapshot()
    life.behave("web:2", always_starting())
    life.push(web=service("web:2"), db=service("db:1"))
    ports = [{"mode": "ingress", "target": 80, "published": "8080", "protocol": "tcp"}]

    def newer() -> None:
        life.machine.add_foreign("holder", 1 << 20, [("0.0.0.0", 8080, "tcp")])
        life.push(web=service("web:3", ports=ports), db=service("db:1"))

    life.during["WaitHealthy"] = newer
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.FAILED, Reason.DEPENDENCY_NOT_READY)
    assert life.machine.snapshot() == before
    assert_quiet(life)


def test_a_first_commit_cut_off_and_then_refused_leaves_nothing_running() -> None:
    life = Life()
    life.push(web=service("web:1"))
    life.start()
    dies_before(life, "journal ended")
    assert life.running()
    refused = life.push(web=service("web:2", mem_limit=str(8 << 30)))
    assert life.turn().outcome is Outcome.REJECTED
    life.turn()
    assert life.running() == {}
    assert_quiet(life)
    assert life.reporter.told[refused][0] == "failure"


def test_each_head_gets_a_final_state_though_a_repair_was_cut_off() -> None:
    life = proven(**three("1"))
    held = life.push(db=service("db:1"))
    life.machine.vanishes("shop-web-1")
    life.start()
    dies_before(life, "journal started")
    life.push(**three("2"))
    settled(life)
    assert life.reporter.told[held][0] == "superseded"


def test_a_restart_policy_taken_away_by_a_cut_off_rollout_is_given_back() -> None:
    life = proven(web=service("web:1"), api=service("api:1"), old=service("old:1"))
    before = life.machine.snapshot()
    life.push(web=service("web:1"), api=service("api:1"))
    life.start()
    dies_before(life, "stop")
    life.push(web=service("web:3", mem_limit=str(8 << 30)))
    assert life.turn().outcome is Outcome.REJECTED
    assert life.machine.snapshot() == before
    assert_quiet(life)
