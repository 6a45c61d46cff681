"""Requests of operators and their answers, folded into the memory. What was refused changes nothing."""

from __future__ import annotations

from datetime import datetime

from reconciler.decide.recollection import Recollection, Record, time_of
from reconciler.model.outcome import CommitState
from reconciler.model.requests import Answered, RequestVerb, Suspension


def requested(state: Recollection, record: Record) -> None:
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
        datetime.fromisoformat(until).timestamp() if until else None,
        tuple(record.get("lifted", ())),
    )
    state.requests.append(asked)
    if asked.done:
        _GRANTED[asked.verb](state, asked)


def _suspend(state: Recollection, asked: Answered) -> None:
    state.suspension = Suspension(asked.why, asked.at, asked.until)


def _resume(state: Recollection, asked: Answered) -> None:
    state.suspension = None
    state.seen_at = asked.at  # a head that was kept waiting has its whole time before it


def _retry(state: Recollection, asked: Answered) -> None:
    """What was refused is so no longer; where that concerns the head, its final state is open again."""
    for sha in asked.lifted:
        state.quarantined.pop(sha, None)
    state.lifted |= set(asked.lifted)
    state.unended = state.faults = 0
    state.cares.clear()
    if state.seen and state.seen[-1] in (asked.revision, *asked.lifted):
        _reopen(state, state.seen[-1], asked.at)


def _reopen(state: Recollection, revision: str, at: float) -> None:
    state.seen_at = at
    name = state.finals.get(revision)
    if name is not None and state.known(name, "state") is not CommitState.SUCCESS:
        del state.finals[revision]
        state.told.discard(revision)
        state.tell(name, {"final": False})


def _accept(state: Recollection, asked: Answered) -> None:
    """Consent covers what was shown before it, and nothing else."""
    state.accepted.add(asked.revision or "")
    state.consented |= state.asked.get(asked.revision or "", frozenset())


_GRANTED = {
    RequestVerb.SUSPEND: _suspend,
    RequestVerb.RESUME: _resume,
    RequestVerb.RETRY: _retry,
    RequestVerb.ACCEPT: _accept,
}
