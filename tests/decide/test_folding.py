"""The journal's records folded into a history: each kind of record, and what only their order shows."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.decide.history.fold_state import failure_record
from reconciler.decide.history.folding import Fold, Following, fold
from reconciler.errors import Corrupt
from reconciler.model.history import Bad, Good, ServiceRecord
from reconciler.model.outcome import CommitState, Failure, Intent, Outcome, Reason
from tests.decide.long_journals import LIVES, journal

A, B = "a" * 40, "b" * 40
FAILURE = Failure(Reason.CRASHED, "it crashed", "shop", "web", 3, "probe said no", ("one", "two"))


def record(kind: str, at: float = 0.0, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "at": datetime.fromtimestamp(at, UTC).isoformat(), **fields}


def started(attempt: str = "1", revision: str = A, at: float = 1.0, **more: Any) -> dict[str, Any]:
    return record("started", at, attempt=attempt, revision=revision, intent="Advance", **more)


def ended(
    attempt: str = "1", revision: str = A, at: float = 2.0, outcome: str = "Succeeded", **more: Any
) -> dict[str, Any]:
    known = {"intent": "Advance", "reason": "ReconciliationSucceeded", "message": "done", **more}
    return record("ended", at, attempt=attempt, revision=revision, outcome=outcome, **known)


def quarantined(attempt: str = "1", revision: str = A, **more: Any) -> dict[str, Any]:
    failure = failure_record(FAILURE)
    return record("condemned", 3.0, attempt=attempt, revision=revision, content="c1", failure=failure, **more)


def test_nothing() -> None:
    history = fold([])
    assert (history.attempts, history.last, history.last_good, history.unended) == ((), None, None, 0)


def test_an_unknown_kind_changes_nothing() -> None:
    assert fold([record("tomorrow", anything=1)]) == fold([])


def test_heads_that_were_seen() -> None:
    history = fold([record("seen", 1.0, revision=A), record("seen", 5.0, revision=B)])
    assert (history.seen, history.seen_at) == ((A, B), 5.0)


def test_an_attempt_that_began() -> None:
    history = fold([started(before=B)])
    attempt = history.last
    assert attempt is not None
    assert (attempt.id, attempt.revision, attempt.intent, attempt.started_at) == ("1", A, Intent.ADVANCE, 1.0)
    assert (attempt.open, attempt.closed, attempt.before, attempt.content) == (True, False, B, None)
    assert history.unended == 1


def test_what_was_prepared() -> None:
    history = fold([started(), record("prepared", 2.0, attempt="1", content="c1", stacks=["shop"])])
    assert history.last is not None
    assert (history.last.content, history.stacks) == ("c1", {"shop"})
    more = record("prepared", 2.0, attempt="1", content="c2", stacks=["blog"])
    assert fold([started(), record("prepared", 2.0, attempt="1", content="c1", stacks=["shop"]), more]).stacks == {
        "shop",
        "blog",
    }


def test_a_verdict_is_known_before_the_rollback_has_ended() -> None:
    history = fold([started(), quarantined(touched=False)])
    assert history.last is not None
    assert (history.last.open, history.last.quarantined, history.last.touched) == (True, True, False)
    assert history.last.failure == FAILURE
    assert history.quarantined == {A: Bad(A, "c1", Reason.CRASHED, 3.0)}
    assert history.bad_content("c1") == history.quarantined[A]
    assert history.bad_content("c2") is None


def test_an_old_verdict_that_says_nothing_of_touching_touched() -> None:
    last = fold([started(), quarantined()]).last
    assert last is not None
    assert last.touched


def test_a_good_end() -> None:
    services = [{"stack": "shop", "service": "web", "action": "Switched", "downtime": 1.5}]
    end = ended(content="c1", good=True, final=True, state="success", services=services, lines=["x"], closing=True)
    history = fold([started(), end])
    attempt = history.last
    assert attempt is not None
    assert (attempt.outcome, attempt.reason, attempt.message) == (
        Outcome.SUCCEEDED,
        Reason.RECONCILIATION_SUCCEEDED,
        "done",
    )
    assert (attempt.started_at, attempt.ended_at, attempt.final, attempt.state) == (1.0, 2.0, True, CommitState.SUCCESS)
    assert attempt.services == (ServiceRecord("shop", "web", "Switched", 1.5),)
    assert (attempt.lines, attempt.closed, attempt.open) == (("x",), False, False)
    assert history.last_good == Good(A, "c1", 2.0)
    assert history.finals == {A: attempt}


def test_only_the_window_makes_last_good() -> None:
    assert fold([started(), ended()]).last_good is None
    again = [
        started(),
        ended(content="c1", good=True),
        started("2", B),
        ended("2", B, outcome="RolledBack", content="c2"),
    ]
    assert fold(again).last_good == Good(A, "c1", 2.0)


def test_content_that_the_end_does_not_name_is_that_which_was_prepared() -> None:
    history = fold([started(), record("prepared", attempt="1", content="c1"), ended(good=True)])
    assert history.last_good == Good(A, "c1", 2.0)


def test_an_end_without_a_beginning_is_an_attempt_of_a_moment() -> None:
    attempt = fold([ended(outcome="Rejected", reason="PolicyViolation")]).last
    assert attempt is not None
    assert (attempt.id, attempt.revision, attempt.intent) == ("1", A, Intent.ADVANCE)
    assert attempt.started_at == attempt.ended_at == 2.0
    assert attempt.closed


def test_the_failure_is_that_of_the_end_or_of_the_verdict() -> None:
    second = Failure(Reason.HEALTH_CHECK_FAILED, "the rollback, too")
    back = ended(outcome="RolledBack")
    for end, told in ((back, FAILURE), (back | {"failure": failure_record(second)}, second)):
        last = fold([started(), quarantined(), end]).last
        assert last is not None
        assert last.failure == told


def test_a_bad_end_quarantines() -> None:
    history = fold([started(), ended(outcome="Rejected", bad=True, reason="PolicyViolation", inputs="in")])
    assert history.quarantined == {A: Bad(A, None, Reason.POLICY_VIOLATION, 2.0, "in")}


def test_a_refusal_for_content_is_never_replaced_and_one_by_rules_is() -> None:
    by_rules = ended(outcome="Rejected", bad=True, reason="PolicyViolation", inputs="old rules")
    by_new_rules = ended("2", outcome="Rejected", bad=True, reason="BudgetExceeded", inputs="new rules")
    assert fold([by_rules, by_new_rules]).quarantined[A].inputs == "new rules"
    assert fold([by_rules, started("2"), quarantined("2")]).quarantined[A].content == "c1"
    kept = fold([started(), quarantined(), by_new_rules]).quarantined[A]
    assert (kept.content, kept.reason) == ("c1", Reason.CRASHED)


def test_what_became_good_is_not_bad() -> None:
    by_rules = ended(outcome="Rejected", bad=True, reason="PolicyViolation", inputs="old rules")
    history = fold([by_rules, started("2"), ended("2", content="c1", good=True)])
    assert history.quarantined == {}


def test_one_final_state_for_each_commit() -> None:
    first = ended(outcome="Failed", final=True, state="error")
    history = fold([first, started("2"), ended("2", final=True, state="success")])
    assert history.finals[A].state is CommitState.ERROR


def test_attempts_without_an_end_are_counted() -> None:
    history = fold([started("1"), started("2"), started("3")])
    assert history.unended == 3
    assert [item.outcome for item in history.attempts] == [Outcome.INTERRUPTED, Outcome.INTERRUPTED, Outcome.STARTED]
    assert fold([started("1"), started("2"), ended("2")]).unended == 0


def test_a_new_attempt_ends_the_one_that_was_cut_off() -> None:
    history = fold([started("1", at=1.0), started("2", at=7.0)])
    first = history.attempts[0]
    assert (first.reason, first.ended_at, first.closed, first.open) == (Reason.INTERRUPTED, 7.0, False, False)


def test_faults_in_a_row_are_counted() -> None:
    faults = [ended(str(n), outcome="Failed", reason="EngineUnavailable") for n in range(3)]
    assert fold(faults).faults == 3
    assert fold([*faults, ended("9")]).faults == 0


def test_tidying_up_closes_whatever_was_open_to_it() -> None:
    two = [ended("1", closing=True), ended("2", closing=True)]
    assert [item.closed for item in fold(two).attempts] == [False, False]
    assert [item.closed for item in fold([*two, record("closed", attempt="2")]).attempts] == [True, True]


def test_one_shots_and_notes() -> None:
    history = fold([record("ranonce", stack="shop", service="job", spec="s1"), record("told", revision=A)])
    assert (history.ran_once, history.told) == ({"s1"}, {A})


def test_a_failure_comes_back_as_it_went() -> None:
    last = fold([started(), quarantined()]).last
    assert last is not None
    assert last.failure == FAILURE
    bare = Failure(Reason.STALLED, "short")
    told = fold([ended(failure=failure_record(bare))]).last
    assert told is not None
    assert told.failure == bare


RECORDS = st.lists(
    st.one_of(
        st.builds(started, st.sampled_from("123"), st.sampled_from([A, B])),
        st.builds(
            ended,
            st.sampled_from("123"),
            st.sampled_from([A, B]),
            outcome=st.sampled_from(["Succeeded", "Failed", "RolledBack", "Superseded"]),
            final=st.booleans(),
            good=st.booleans(),
            bad=st.booleans(),
            content=st.sampled_from(["c1", "c2"]),
        ),
        st.builds(lambda sha: record("seen", revision=sha), st.sampled_from([A, B])),
        st.builds(lambda sha: record("told", revision=sha), st.sampled_from([A, B])),
    ),
    max_size=12,
)


@given(RECORDS, st.integers(0, 12))
def test_folding_on_is_the_same_as_folding_at_once(records: list[dict[str, Any]], cut: int) -> None:
    state = Fold()
    for item in records[:cut]:
        state.add(item)
    before = state.history()
    for item in records[cut:]:
        state.add(item)
    assert state.history() == fold(records)
    assert before == fold(records[:cut])


@pytest.mark.parametrize("broken", [record("started"), {**started(), "intent": "Sideways"}, record("told")])
def test_a_record_that_was_corrected_badly_is_named(broken: dict[str, Any]) -> None:
    with pytest.raises(Corrupt, match=f"record '{broken['kind']}' of 1970-01-01") as refused:
        fold([started(), broken])
    assert "journal.jsonl" in refused.value.hint


def test_what_a_rollout_stopped_is_known_by_its_last_start() -> None:
    history = fold([record("stopped", container="c1", started="t1"), record("stopped", container="c1", started="t2")])
    assert history.stopped == {"c1": "t2"}


# -- long journals -----------------------------------------------------------------------------------------------------


def calls(what: Callable[[], object]) -> int:
    """Number of function calls that it takes: the work, on any machine."""
    number = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal number
        number += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        what()
    finally:
        sys.setprofile(None)
    return number


@pytest.mark.parametrize("life", LIVES)
def test_twice_the_attempts_are_twice_the_work(life: str) -> None:
    few, many = (list(journal(LIVES[life], number)) for number in (200, 400))
    assert calls(lambda: fold(many)) < 2.1 * calls(lambda: fold(few))


class Watched(dict[str, Any]):
    """A record that counts how often its kind was read."""

    asked = 0

    def __getitem__(self, key: str) -> Any:
        self.asked += key == "kind"
        return super().__getitem__(key)


def test_each_record_is_folded_once() -> None:
    records = [Watched(item) for item in journal(LIVES["applied"], 3)]
    following = Following()
    assert following.take(records)
    before = following.history
    assert following.take(records)
    assert following.history is before, "nothing was added"
    records += [Watched(item) for item in LIVES["applied"](4)]
    assert following.take(records)
    assert [item.asked for item in records] == [1] * len(records)
    assert following.history == fold(records) != before


def test_a_replaced_journal_is_folded_anew() -> None:
    following = Following()
    following.take(list(journal(LIVES["applied"], 3)))
    other = list(journal(LIVES["refused"], 5))
    assert not following.take(other)
    assert following.history == fold(other)
    assert not following.take([])
    assert following.history == fold([])


def test_what_is_told_of_an_attempt_that_is_over_changes_it() -> None:
    over = [started(), ended(content="c1", closing=True), record("closed", 3.0)]
    history = fold([*over, quarantined()])
    assert history.last is not None
    assert (history.last.quarantined, history.last.outcome, history.last.content) == (True, Outcome.SUCCEEDED, "c1")
    again = fold([*over, started(at=4.0)])
    assert again.last is not None
    assert (len(again.attempts), again.last.open, again.last.content) == (1, True, None)
