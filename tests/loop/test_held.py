"""The reason for which a commit is not tried is in the history, once, until it ends."""

from __future__ import annotations

from reconciler.decide.history.repeats import DAY, Repeats
from reconciler.model.outcome import Outcome, Reason
from tests.fakes.life import Life, service
from tests.loop.lives import proven

PORTS = [{"mode": "ingress", "target": 80, "published": "8080", "protocol": "tcp"}]


def held(life: Life) -> list[tuple[str, Reason, bool]]:
    return [(item.revision, item.reason, item.ended_at is None) for item in life.cycle.history.held]


def test_a_fault_before_an_attempt_is_recorded_once_however_often_it_is_met() -> None:
    life = Life()
    life.machine.add_foreign("holder", 1 << 20, [("0.0.0.0", 8080, "tcp")])
    sha = life.push(web=service("web:1", ports=PORTS))
    for patient in (False, True, True, False):
        turn = life.turn(patient=patient)
    assert held(life) == [(sha, Reason.DEPENDENCY_NOT_READY, True)]
    assert life.cycle.history.holding(sha)[0].message == turn.message
    assert "holder" in turn.message
    assert life.cycle.history.attempts == ()
    life.machine.foreign.clear()
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert held(life) == [(sha, Reason.DEPENDENCY_NOT_READY, False)]


def test_a_new_process_knows_it_and_does_not_tell_it_again() -> None:
    life = Life()
    life.machine.add_foreign("holder", 1 << 20, [("0.0.0.0", 8080, "tcp")])
    life.push(web=service("web:1", ports=PORTS))
    life.turn()
    life.start()
    life.turn()
    assert len(life.cycle.history.held) == 1


def test_a_commit_that_waits_for_a_person_is_held_until_there_is_a_newer_one() -> None:
    life = proven(web=service("web:1"), db=service("db:1"), app=service("app:1"))
    sha = life.push(web=service("web:1"))
    for _ in range(3):
        assert life.turn().outcome is Outcome.HELD
    assert held(life) == [(sha, Reason.CONSENT_MISSING, True)]
    life.push(web=service("web:1"), db=service("db:1"), app=service("app:2"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert held(life) == [(sha, Reason.CONSENT_MISSING, False)]


def test_a_fault_that_an_attempt_met_stands_there_already() -> None:
    life = proven(web=service("web:1"))
    life.push(web=service("web:2"))
    life.during["WaitHealthy"] = lambda: life.machine.go_away(100.0)
    assert life.turn().attempt is not None
    life.turn(patient=True)
    assert not [item for item in life.cycle.history.held if item.message == life.cycle.history.attempts[-1].message]


def test_what_repeats_is_told_when_it_begins_when_it_changes_and_once_a_day() -> None:
    repeats = Repeats()
    told = [not repeats.is_known(what, at) for what, at in (("a", 0.0), ("a", 30.0), ("b", 60.0), ("b", 60.0 + DAY))]
    assert told == [True, False, True, True]
    assert repeats.end()
    assert not repeats.end()
    assert not repeats.is_known("b", 90.0 + DAY)
