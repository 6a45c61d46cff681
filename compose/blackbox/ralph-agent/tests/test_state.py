"""The state of an agent: the end of the work, waits, the budget of a day, and restarts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from ralph.agent import requested
from ralph.breaker import CLOSED, OPEN, Breaker
from ralph.gates import GO, next_move
from ralph.settings import Limits
from ralph.state import State, load, save
from ralph.turn import Turn

LIMITS = Limits(calls_per_hour=3, usd_per_day=10, usd_per_turn=2)
NOON = 1_795_262_400.0
GOOD = Turn(progress=True, output=400, usd=1.0)
DONE = Turn(progress=True, output=400, complete=True, signal=True)
LIMITED = Turn(error="429", limited=True)


def after(*turns: Turn, state: State | None = None, now: float = NOON) -> State:
    state = state or State()
    for turn in turns:
        state = state.begun(LIMITS, now).after(turn, LIMITS, "p", now)
    return state


def move(state: State, now: float = NOON, missing: str = "", prompt: str = "p") -> tuple[str, float]:
    found = next_move(state, LIMITS, missing, prompt, now)
    return found.status, found.until


def test_the_work_ends_when_two_turns_say_so() -> None:
    assert move(after(DONE))[0] == "running"
    ended = after(DONE, DONE)
    assert move(ended)[0] == "finished"
    assert move(ended, prompt="another")[0] == "running"
    assert move(requested(ended, "resume", ""))[0] == "running"


def test_one_sign_alone_does_not_end_the_work() -> None:
    told, signalled = replace(DONE, signal=False), replace(DONE, complete=False)
    limits = replace(LIMITS, calls_per_hour=100)
    state = after(*[told] * 9)
    assert next_move(state, limits, "", "p", NOON) == GO
    assert after(*[signalled] * 4).finished == ""
    assert after(*[signalled] * 5).finished == "p"
    assert after(signalled, GOOD, signalled, signalled, signalled, signalled).finished == ""


def test_calls_are_limited_within_any_hour() -> None:
    state = State()
    for minute in (0, 10, 20):
        state = after(GOOD, state=state, now=NOON + 60 * minute)
    assert move(state, NOON + 1800) == ("limited", NOON + 3600)
    assert move(state, NOON + 3600)[0] == "running"


def test_the_budget_is_per_day() -> None:
    state = replace(after(*[replace(GOOD, usd=3.5)] * 3), calls=())
    assert move(state) == ("limited", NOON + 12 * 3600)
    assert move(state, NOON + 12 * 3600)[0] == "running"
    assert state.usd_total == 10.5


def test_a_turn_of_unknown_cost_counts_with_the_most_it_may_have_cost() -> None:
    assert after(Turn(error="ended: no end within 900 s", usd=None)).usd_today == LIMITS.usd_per_turn


def test_a_limited_agent_waits_longer_each_time_and_opens_no_breaker() -> None:
    limits = replace(LIMITS, calls_per_hour=1000)
    state, waits = State(), []
    for _ in range(9):
        state = after(LIMITED, state=state)
        waits.append(next_move(state, limits, "", "p", NOON).until - NOON)
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert state.breaker.state == CLOSED
    assert after(GOOD, state=state).put_off_until == 0


def test_an_agent_without_a_key_or_paused_waits_and_says_why() -> None:
    assert move(State(), missing="no key") == ("waiting", 0)
    assert next_move(requested(State(), "pause", "I look at it"), LIMITS, "", "p", NOON).reason.endswith("I look at it")
    assert move(requested(requested(State(), "pause", ""), "resume", "")) == ("running", 0)


def test_an_open_breaker_is_closed_by_hand_or_by_time() -> None:
    state = replace(after(*[Turn(output=1)] * 3), calls=())
    assert move(state) == ("paused", NOON + LIMITS.cooldown)
    assert move(state, NOON + LIMITS.cooldown)[0] == "running"
    assert requested(state, "close", "").breaker == Breaker()
    assert state.opens == {"no-progress": 1}


def test_the_breaker_opens_again_after_a_bad_turn_and_that_is_counted() -> None:
    state = replace(after(*[Turn(output=1)] * 3), calls=())
    again = after(Turn(output=1), state=state, now=NOON + LIMITS.cooldown)
    assert (again.breaker.state, again.opens) == (OPEN, {"no-progress": 2})


def test_the_state_is_the_same_after_a_restart(tmp_path: Path) -> None:
    state = after(GOOD, LIMITED, Turn(output=3), Turn(error="x", usd=None), DONE)
    save(state, tmp_path / "state.json")
    assert load(tmp_path / "state.json") == (state, "")
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_a_state_of_an_older_version_is_read(tmp_path: Path) -> None:
    state = after(GOOD, DONE)
    save(state, tmp_path / "state.json")
    document = json.loads((tmp_path / "state.json").read_text())
    del document["breaker"]["fruitless"]
    (tmp_path / "state.json").write_text(json.dumps(document))
    assert load(tmp_path / "state.json") == (state, "")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"breaker": {}}', '{"breaker": {"state": "open"}}', "\x00"])
def test_a_state_that_cannot_be_read_begins_anew_and_is_kept(tmp_path: Path, text: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(text)
    state, why = load(path)
    assert state == State()
    assert why
    assert path.with_suffix(".corrupt").read_text() == text
    assert load(path) == (State(), "")
