"""No silent stop: five minutes without progress, or without success, leave one record that names step and reason."""

from __future__ import annotations

import pytest

from reconciler.loop.stall_watchdog import LIMIT, StallWatchdog
from reconciler.loop.turn import Turn
from reconciler.model.outcome import Outcome, Reason
from reconciler.model.status import Silence
from tests.fakes.behaviour import always_starting, healthy
from tests.fakes.clock import VirtualClock
from tests.fakes.life import document
from tests.faults.moments import MomentLife

HANGS = 400.0


def life() -> MomentLife:
    made = MomentLife()
    made.commit("1")
    assert made.turn().outcome is Outcome.SUCCEEDED
    return made


def look_after(made: MomentLife, seconds: float) -> None:
    """The timer's thread: a check every five seconds of virtual time."""
    now = made.machine.clock.seconds
    for n in range(int(seconds / 5)):
        made.machine.at(now + 5.0 * n, lambda: made.watchdog.check())


def silent(made: MomentLife) -> list[tuple[str, str]]:
    return [(item["step"], item["reason"]) for item in made.journal.lines if item["kind"] == "silent"]


@pytest.mark.parametrize(
    ("moment", "step"),
    [
        ("F", "fetch the branch"),
        ("C", "read commit"),
        ("R", "read commit"),
        ("V", "look at the machine"),
        ("P", "step 1 of 1: Pull shop/app"),
        ("K", "CreateContainer shop/app"),
        ("S", "StartContainer shop/app"),
        ("X", "RemoveContainer shop/app"),
        ("N", "write the note of"),
    ],
)
def test_a_step_that_hangs_leaves_one_record_that_names_it(moment: str, step: str) -> None:
    made = life()
    made.commit("2")
    seen: list[Silence | None] = []

    def hang() -> None:
        look_after(made, HANGS)
        made.machine.advance(HANGS)
        seen.append(made.watchdog.silence)

    made.at(moment, hang)
    assert made.turn().outcome is Outcome.SUCCEEDED
    ((told, reason),) = silent(made)
    assert step in told
    assert reason == Reason.STALLED
    assert seen[0] is not None
    assert seen[0].blocked
    assert "waits for" in seen[0].message
    assert made.watchdog.silence is None, "it ends by itself"


def test_each_silence_is_told_once_and_a_second_one_again() -> None:
    made = life()
    made.commit("2")
    for moment in ("F", "S"):
        made.at(moment, lambda: (look_after(made, HANGS), made.machine.advance(HANGS))[0])
    made.turn()
    assert len(silent(made)) == 2


def test_a_hang_of_less_than_five_minutes_is_not_told() -> None:
    made = life()
    made.commit("2")
    made.at("S", lambda: (look_after(made, HANGS), made.machine.advance(LIMIT - 10))[0])
    made.turn()
    assert silent(made) == []


def test_the_wait_of_a_gate_is_no_silence() -> None:
    gate = {"min_healthy_time": "2s", "healthy_deadline": "30m", "progress_deadline": "40m", "unhealthy_grace": "5s"}
    made = life()
    made.document = document(gate)
    made.commit("2")
    made.behave("app:2", healthy(900.0))
    look_after(made, 1200.0)
    assert made.turn().outcome is Outcome.SUCCEEDED
    assert silent(made) == []


def test_an_idle_agent_is_not_silent() -> None:
    made = life()
    made.turn()
    look_after(made, 1000.0)
    made.machine.advance(1000.0)
    assert silent(made) == []


def turns(made: MomentLife, seconds: float) -> None:
    """An agent's turns, one every thirty seconds, with the timer's checks."""
    until = made.machine.clock.seconds + seconds
    while made.machine.clock.seconds < until:
        made.turn(patient=True)
        made.machine.advance(30.0)
        made.watchdog.check()


def test_a_remote_that_stays_away_is_told_once() -> None:
    made = life()
    made.source.away = True
    turns(made, 240.0)
    assert silent(made) == []
    turns(made, 900.0)
    assert silent(made) == [("fetch the branch", "FetchFailed")]
    made.source.away = False
    turns(made, 60.0)
    assert made.watchdog.silence is None
    made.source.away = True
    turns(made, 400.0)
    assert len(silent(made)) == 2


def test_an_engine_that_stays_away_is_told_once() -> None:
    made = life()
    made.machine.go_away(1000.0)
    turns(made, 900.0)
    assert silent(made) == [("look at the machine", "EngineUnavailable")]
    assert made.watchdog.silence is not None
    assert not made.watchdog.silence.blocked
    turns(made, 300.0)
    assert made.watchdog.silence is None


def test_an_engine_that_stays_away_while_a_commit_waits_is_told_once() -> None:
    made = life()
    made.commit("2")
    made.at("S", lambda: made.machine.go_away(1000.0))
    turns(made, 900.0)
    assert [reason for _, reason in silent(made)] == ["EngineUnavailable"]
    turns(made, 900.0)
    assert made.running()["shop-app-1"] == "app:2"


def test_what_is_held_is_told_once() -> None:
    made = life()
    made.source.rewind(1)
    made.commit("other")
    turns(made, 900.0)
    assert silent(made) == [("fetch the branch", "NotFastForward")]


def test_a_commit_that_was_refused_is_decided_and_not_silent() -> None:
    made = life()
    made.commit("2")
    made.behave("app:2", always_starting())
    turns(made, 900.0)
    assert silent(made) == []


def test_trouble_of_another_kind_is_told_of_its_own() -> None:
    clock, told = VirtualClock(), list[Silence]()
    watchdog = StallWatchdog(clock, told.append)
    for reason in (Reason.FETCH_FAILED, Reason.ENGINE_UNAVAILABLE):
        for _ in range(12):
            watchdog.begins(f"a step before {reason}", "somebody")
            watchdog.decided(Turn(Outcome.FAILED, reason, "no answer"))
            watchdog.rests()
            clock.seconds += 60.0
            watchdog.check()
    assert [item.reason for item in told] == [Reason.FETCH_FAILED, Reason.ENGINE_UNAVAILABLE]
