"""The breaker opens for each cause, cools down, and closes after one good turn."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ralph.breaker import CLOSED, HALF_OPEN, OPEN, Breaker
from ralph.settings import Limits
from ralph.turn import Turn

LIMITS = Limits()
GOOD = Turn(progress=True, output=400)
IDLE = Turn(output=400)
FAILED = Turn(error="API Error: 400 messages.7: no")
DENIED = Turn(progress=True, output=400, denials=1)
TERSE = Turn(progress=True, output=40)


def after(*turns: Turn, breaker: Breaker | None = None, now: float = 1000.0) -> Breaker:
    breaker = breaker or Breaker()
    for turn in turns:
        breaker = breaker.after(turn, LIMITS, now)
    return breaker


@pytest.mark.parametrize(
    ("turns", "cause"),
    [
        ([IDLE] * 3, "no-progress"),
        ([FAILED] * 5, "same-error"),
        ([DENIED] * 2, "denials"),
        ([GOOD, GOOD, TERSE, TERSE], "decline"),
    ],
)
def test_the_breaker_opens_at_its_limit_and_not_before(turns: list[Turn], cause: str) -> None:
    assert after(*turns[:-1]).state == CLOSED
    opened = after(*turns)
    assert (opened.state, opened.cause, opened.opened) == (OPEN, cause, 1000.0)
    assert opened.reason


@pytest.mark.parametrize(
    "turns", [[IDLE, IDLE, GOOD, IDLE, IDLE], [DENIED, GOOD, DENIED], [GOOD, GOOD, TERSE, GOOD, TERSE]]
)
def test_a_good_turn_resets_the_counts(turns: list[Turn]) -> None:
    assert after(*turns).state == CLOSED


def test_errors_that_differ_in_numbers_and_paths_are_the_same() -> None:
    errors = [f"API Error: 400 messages.{n}: /tmp/{n}/x is wrong" for n in range(5)]
    assert after(*(Turn(error=error) for error in errors)).cause == "same-error"
    assert after(*(Turn(error=error) for error in [*errors[:4], "something else"])).state == CLOSED


def test_different_failures_in_a_row_open_the_breaker() -> None:
    turns = [Turn(error=f"{word} is in the way") for word in ("one", "two", "three", "four", "five", "six", "seven")]
    assert after(*turns).state == CLOSED
    opened = after(*turns, Turn(error="and this"))
    assert (opened.state, opened.cause) == (OPEN, "failures")
    assert "and this" in opened.reason
    assert after(*turns, GOOD, *turns).state == CLOSED
    mixed = after(*turns[:4], IDLE, *turns[4:])
    assert (mixed.state, mixed.cause, mixed.no_progress) == (OPEN, "failures", 1)


def test_work_that_stays_shorter_closes_the_breaker() -> None:
    opened = after(*[GOOD] * 5, TERSE, TERSE)
    assert opened.cause == "decline"
    closed = after(*[TERSE] * 9, breaker=opened.at(1000.0 + LIMITS.cooldown, LIMITS), now=4000.0)
    assert closed.state == CLOSED


def test_progress_closes_the_breaker_however_short_the_answer() -> None:
    half = after(GOOD, GOOD, *[IDLE] * 3).at(1000.0 + LIMITS.cooldown, LIMITS)
    assert half.after(TERSE, LIMITS, 4000.0).state == CLOSED
    assert half.after(replace(TERSE, progress=False), LIMITS, 4000.0).state == OPEN


def test_failures_are_not_counted_twice_as_turns_without_progress() -> None:
    assert after(*[FAILED] * 4).no_progress == 0


def test_limited_and_interrupted_turns_do_not_count() -> None:
    turns = [replace(FAILED, limited=True), replace(FAILED, interrupted=True)] * 5
    assert after(*turns) == Breaker()


def test_after_the_cool_down_one_turn_decides() -> None:
    opened = after(*[IDLE] * 3)
    assert opened.at(1000.0 + LIMITS.cooldown - 1, LIMITS).state == OPEN
    half = opened.at(1000.0 + LIMITS.cooldown, LIMITS)
    assert half.state == HALF_OPEN
    closed = half.after(GOOD, LIMITS, 4000.0)
    assert (closed.state, closed.cause, closed.no_progress) == (CLOSED, "", 0)
    again = half.after(replace(FAILED, error="yet another"), LIMITS, 4000.0)
    assert (again.state, again.cause, again.opened) == (OPEN, "no-progress", 4000.0)
    assert half.after(replace(FAILED, limited=True), LIMITS, 4000.0).state == HALF_OPEN


def test_a_clock_that_was_set_back_keeps_the_breaker_open() -> None:
    assert after(*[IDLE] * 3).at(0.0, LIMITS).state == OPEN


def test_a_short_answer_that_ends_the_work_is_no_decline() -> None:
    last = replace(TERSE, signal=True)
    assert after(GOOD, GOOD, last, last).state == CLOSED
