"""Folds operators' requests and their answers. Refused requests change nothing."""

from __future__ import annotations

from reconciler.decide.history.fold_state import FoldState, Record, time_of
from reconciler.model.outcome import CommitState, Outcome
from reconciler.model.requests import Answered, RequestVerb, Suspension
from reconciler.model.times import instant


def requested(state: FoldState, record: Record) -> None:
    """A request was answered."""
    until = record.get("until")
    asked = Answered(
        record["request"],
        RequestVerb(record["verb"]),
        bool(record["done"]),
        time_of(record),
        record["message"],
        record.get("hint") or "",
        record.get("revision"),
        record.get("why") or "",
        instant(until) if until else None,
        tuple(record.get("lifted", ())),
    )
    state.requests.append(asked)
    if asked.done:
        state.release(asked.at, asked.revision)
        _GRANTED[asked.verb](state, asked)


def _suspend(state: FoldState, asked: Answered) -> None:
    state.suspension = Suspension(asked.why, asked.at, asked.until)


def _resume(state: FoldState, asked: Answered) -> None:
    state.suspension = None
    state.seen_at = asked.at  # a delayed head gets its full time again


def _retry(state: FoldState, asked: Answered) -> None:
    """Lifts quarantines and rejections; if this includes the head, its final state is open again."""
    concerned = {asked.revision, *asked.lifted}
    for sha in asked.lifted:
        state.quarantined.pop(sha, None)
    state.lifted |= set(asked.lifted)
    if state.known(state.kept, "revision") in concerned:
        state.kept = ""
    head, good = state.seen[-1] if state.seen else None, state.good.revision if state.good else None
    if not concerned.isdisjoint((head, good)):
        state.unended = state.faults = 0
        state.backoffs.clear()
    if head is not None and head in concerned:
        _reopen(state, head, asked.at)


def _reopen(state: FoldState, revision: str, at: float) -> None:
    state.seen_at = at
    name = state.finals.get(revision)
    if name is not None and state.known(name, "state") is not CommitState.SUCCESS:
        del state.finals[revision]
        state.told.discard(revision)
        state.tell(name, {"final": False})


def _accept(state: FoldState, asked: Answered) -> None:
    """Consent covers only objects that were shown before it. For a stalled commit the running state is accepted; the
    next failure of the same commit is a stall again."""
    revision, last = asked.revision or "", next(reversed(state.attempts), "")
    stalled = (state.known(last, "outcome"), state.known(last, "revision")) == (Outcome.ROLLBACK_FAILED, revision)
    if stalled and revision not in state.lifted:
        state.kept = last
        return
    state.accepted.add(revision)
    state.consented |= state.asked.get(revision, frozenset())


_GRANTED = {
    RequestVerb.SUSPEND: _suspend,
    RequestVerb.RESUME: _resume,
    RequestVerb.RETRY: _retry,
    RequestVerb.ACCEPT: _accept,
}
