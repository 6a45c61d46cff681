"""The next move: each row of the table in ARCHITECTURE.md."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.decide.policy import FIRST_DELAY, JITTER, LONGEST_DELAY, Go, Hold, next_move
from reconciler.model.files import Commit
from reconciler.model.history import Attempt, Bad, Good, History
from reconciler.model.outcome import Intent, Outcome, Reason
from reconciler.model.requests import Suspension

HEAD, OLD = "a" * 40, "b" * 40
NOW = 1_000_000.0


def head(sha: str = HEAD) -> Commit:
    return Commit(sha)


def move(
    history: History, *, inputs: str = "in", changed: bool = False, now: float = NOW, patient: bool = True
) -> Hold | Go:
    return next_move(head(), history, inputs=inputs, inputs_changed=changed, now=now, patient=patient)


def attempt(outcome: Outcome, revision: str = HEAD, **more: object) -> Attempt:
    made = Attempt("1-aaaaaaaa", revision, Intent.ADVANCE, NOW - 100, outcome=outcome, ended_at=NOW)
    return replace(made, **more)  # type: ignore[arg-type]  # any field


def good(revision: str) -> Good:
    return Good(revision, "content", NOW - 1000)


def bad(content: str | None = "bad content", inputs: str = "") -> dict[str, Bad]:
    return {HEAD: Bad(HEAD, content, Reason.CRASHED, NOW, inputs)}


def test_untried() -> None:
    assert move(History()) == Go(HEAD, Intent.ADVANCE)
    assert move(History(last_good=good(OLD))) == Go(HEAD, Intent.ADVANCE)


def test_head_is_last_good() -> None:
    assert move(History(last_good=good(HEAD))) == Go(HEAD, Intent.REPAIR)


def test_head_is_last_good_and_the_host_s_secrets_have_changed() -> None:
    assert move(History(last_good=good(HEAD)), changed=True) == Go(HEAD, Intent.ADVANCE)


def test_changed_secrets_of_another_commit_change_nothing() -> None:
    history = History(last_good=good(OLD), quarantined=bad())
    assert move(history, changed=True) == Go(OLD, Intent.REPAIR)


def test_quarantined_and_something_was_good() -> None:
    assert move(History(last_good=good(OLD), quarantined=bad())) == Go(OLD, Intent.REPAIR)


def test_quarantined_and_nothing_was_good() -> None:
    told = move(History(quarantined=bad()))
    assert isinstance(told, Hold)
    assert (told.reason, told.until, told.stalled) == (Reason.REVISION_QUARANTINED, None, False)
    assert told.message == f"{HEAD[:12]} was refused (Crashed) and nothing was good before it"
    assert told.hint == "fix the commit and push again"


@pytest.mark.parametrize(
    ("content", "judged_by", "intent"),
    [
        (None, "in", Intent.REPAIR),
        (None, "", Intent.REPAIR),
        (None, "other rules", Intent.ADVANCE),
        ("bad content", "other rules", Intent.REPAIR),
    ],
)
def test_a_refusal_by_rules_is_judged_anew_when_they_change(
    content: str | None, judged_by: str, intent: Intent
) -> None:
    told = move(History(last_good=good(OLD), quarantined=bad(content, judged_by)))
    assert told == Go(HEAD if intent is Intent.ADVANCE else OLD, intent)


def test_a_quarantined_attempt_that_did_not_end_goes_back_first() -> None:
    open_attempt = attempt(Outcome.STARTED, OLD, quarantined=True, ended_at=None)
    history = History((open_attempt,), last_good=good(OLD), unended=9, faults=3)
    assert move(history) == Go(OLD, Intent.REVERT)
    assert move(replace(history, last_good=None)) == Go(None, Intent.REVERT)


def test_an_open_attempt_without_a_verdict_is_tried_again() -> None:
    assert move(History((attempt(Outcome.STARTED, ended_at=None),), unended=1)) == Go(HEAD, Intent.ADVANCE)


def test_a_quarantined_attempt_that_has_ended_is_over() -> None:
    ended = attempt(Outcome.ROLLED_BACK, quarantined=True)
    assert move(History((ended,), last_good=good(OLD), quarantined=bad())) == Go(OLD, Intent.REPAIR)


@pytest.mark.parametrize(("unended", "stalled"), [(0, False), (2, False), (3, True), (4, True)])
def test_started_three_times_without_an_end(unended: int, stalled: bool) -> None:
    told = move(History((attempt(Outcome.STARTED, ended_at=None),), unended=unended))
    assert isinstance(told, Hold) is stalled
    if isinstance(told, Hold):
        assert (told.reason, told.stalled, told.until) == (Reason.STALLED, True, None)
        assert told.message == f"{unended} attempts in a row began and never ended"
        assert told.hint.endswith(f"then `reconciler retry {HEAD[:12]}`")


def test_a_rollback_that_failed_waits_for_a_new_commit() -> None:
    failed = attempt(Outcome.ROLLBACK_FAILED, message="it burns")
    told = move(History((failed,), last_good=good(OLD), quarantined=bad()))
    assert isinstance(told, Hold)
    assert (told.reason, told.stalled) == (Reason.STALLED, True)
    assert told.message == f"the rollback of {HEAD[:12]} failed, too: it burns"
    assert told.hint.startswith("look at what runs, then push a new commit, or")
    other = replace(failed, revision=OLD)
    assert move(History((other,), last_good=good(OLD))) == Go(HEAD, Intent.ADVANCE)


def test_a_rollback_that_failed_and_was_accepted_is_left_alone() -> None:
    failed = attempt(Outcome.ROLLBACK_FAILED, message="it burns")
    told = move(History((failed,), last_good=good(OLD), quarantined=bad(), kept=failed.id))
    assert isinstance(told, Hold)
    assert (told.reason, told.stalled, told.untouched) == (Reason.ROLLBACK_FAILED, False, True)
    again = replace(failed, id="2-again")
    told = move(History((failed, again), last_good=good(OLD), quarantined=bad(), kept=failed.id))
    assert isinstance(told, Hold)
    assert told.stalled, "what was accepted is what ran then"


def test_a_rollback_that_failed_and_is_retried() -> None:
    failed = attempt(Outcome.ROLLBACK_FAILED, message="it burns")
    assert move(History((failed,), last_good=good(OLD), lifted=frozenset({HEAD}))) == Go(HEAD, Intent.ADVANCE)


# -- suspended -------------------------------------------------------------------------------------------------------


def suspended(history: History, until: float | None = None) -> Hold | Go:
    return move(replace(history, suspension=Suspension("maintenance", NOW - 10, until)))


@pytest.mark.parametrize(
    "history",
    [
        History(),
        History(last_good=good(HEAD)),
        History(last_good=good(OLD), quarantined=bad()),
        History((attempt(Outcome.ROLLBACK_FAILED),), last_good=good(OLD)),
        History((attempt(Outcome.FAILED),), faults=1),
        History((attempt(Outcome.STARTED, ended_at=None),), unended=1),
    ],
    ids=["new", "good", "quarantined", "stalled", "waiting", "cut off, nothing was good"],
)
def test_nothing_is_done_while_it_is_suspended(history: History) -> None:
    told = suspended(history)
    assert isinstance(told, Hold)
    assert (told.reason, told.message, told.until, told.untouched) == (Reason.SUSPENDED, "maintenance", None, True)


def test_a_suspension_ends_by_itself() -> None:
    told = suspended(History(), NOW + 1)
    assert isinstance(told, Hold)
    assert told.until == NOW + 1
    assert suspended(History(), NOW) == Go(HEAD, Intent.ADVANCE)


@pytest.mark.parametrize("outcome", [Outcome.STARTED, Outcome.INTERRUPTED])
def test_work_that_was_cut_off_ends_at_last_good_though_it_is_suspended(outcome: Outcome) -> None:
    cut_off = attempt(outcome, closed=False)
    assert suspended(History((cut_off,), last_good=good(OLD), unended=1)) == Go(OLD, Intent.REPAIR)


def test_a_rollback_ends_though_it_is_suspended() -> None:
    history = History((attempt(Outcome.STARTED, quarantined=True, ended_at=None),), last_good=good(OLD))
    assert suspended(history) == Go(OLD, Intent.REVERT)


# -- faults of the environment ---------------------------------------------------------------------------------------


def waiting(faults: int, **more: Any) -> float:
    """Seconds of delay after so many faults in a row."""
    failed = attempt(Outcome.FAILED, reason=Reason.PULL_FAILED, message="no registry", **more)
    told = move(History((failed,), faults=faults))
    assert isinstance(told, Hold)
    assert (told.reason, told.message, told.stalled) == (Reason.PULL_FAILED, "no registry", False)
    assert told.hint == "it is tried again by itself"
    assert told.until is not None
    return told.until - NOW


@pytest.mark.parametrize(("faults", "delay"), [(1, 10.0), (2, 20.0), (3, 40.0), (6, 320.0), (7, 600.0), (999, 600.0)])
def test_each_fault_doubles_the_wait_up_to_ten_minutes(faults: int, delay: float) -> None:
    assert delay * (1 - JITTER) <= waiting(faults) <= delay * (1 + JITTER)
    assert delay in (FIRST_DELAY * 2 ** (faults - 1), LONGEST_DELAY)


def test_the_wait_is_spread_but_always_the_same_for_one_attempt() -> None:
    waits = [waiting(1, id=f"{n}-aaaaaaaa") for n in range(200)]
    assert waits == [waiting(1, id=f"{n}-aaaaaaaa") for n in range(200)]
    assert min(waits) < FIRST_DELAY * (1 - JITTER * 0.9)
    assert max(waits) > FIRST_DELAY * (1 + JITTER * 0.9)


def test_once_the_wait_is_over_it_is_tried_again() -> None:
    history = History((attempt(Outcome.FAILED),), faults=1)
    assert move(history, now=NOW + 13.0) == Go(HEAD, Intent.ADVANCE)
    told = move(history)
    assert isinstance(told, Hold)
    assert move(history, now=told.until or 0.0) == Go(HEAD, Intent.ADVANCE)


def test_a_clock_that_was_set_back_makes_nobody_wait() -> None:
    assert move(History((attempt(Outcome.FAILED),), faults=1), now=NOW - 86_400) == Go(HEAD, Intent.ADVANCE)


def test_a_person_who_asks_does_not_wait() -> None:
    assert move(History((attempt(Outcome.FAILED),), faults=1), patient=False) == Go(HEAD, Intent.ADVANCE)


def test_a_new_commit_does_not_wait_for_the_fault_of_another() -> None:
    assert move(History((attempt(Outcome.FAILED, OLD),), faults=3)) == Go(HEAD, Intent.ADVANCE)


def test_a_repair_that_failed_is_waited_for_where_the_head_is_decided() -> None:
    repair = attempt(Outcome.FAILED, OLD, intent=Intent.REPAIR)
    history = History((repair,), last_good=good(OLD), quarantined=bad(), finals={HEAD: repair}, faults=1)
    assert isinstance(move(history), Hold)


def test_without_a_fault_nothing_waits() -> None:
    assert move(History((attempt(Outcome.INTERRUPTED),), faults=0)) == Go(HEAD, Intent.ADVANCE)
    assert move(History((attempt(Outcome.STARTED, ended_at=None),), faults=2, unended=1)) == Go(HEAD, Intent.ADVANCE)


def test_a_fault_without_a_reason_is_the_engine_s() -> None:
    told = move(History((attempt(Outcome.FAILED, reason=None),), faults=1))
    assert isinstance(told, Hold)
    assert told.reason is Reason.ENGINE_UNAVAILABLE
