"""Records of attempts and verdicts, folded into the memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from reconciler.decide.recollection import Recollection, Record, failure_of, quarantine, time_of
from reconciler.model.history import Attempt, Good, ServiceRecord
from reconciler.model.outcome import CommitState, Intent, Outcome, Reason


def _seen(state: Recollection, record: Record) -> None:
    state.seen.append(record["revision"])
    state.seen_at = time_of(record)


def _started(state: Recollection, record: Record) -> None:
    state.unended += 1
    for earlier in [item for item in state.attempts.values() if item.open]:
        state.attempts[earlier.id] = replace(
            earlier, outcome=Outcome.INTERRUPTED, reason=Reason.INTERRUPTED, ended_at=time_of(record)
        )
    state.attempts[record["attempt"]] = Attempt(
        id=record["attempt"],
        revision=record["revision"],
        intent=Intent(record["intent"]),
        started_at=time_of(record),
        before=record.get("before"),
        closed=False,
    )


def _prepared(state: Recollection, record: Record) -> None:
    state.stacks |= set(record.get("stacks", ()))
    state.prepared[record["attempt"]] = frozenset(record.get("stacks", ()))
    state.cares.clear()
    attempt = state.attempts.get(record["attempt"])
    if attempt is not None:  # a journal that was deleted in the middle of an attempt does not know how it began
        state.attempts[attempt.id] = replace(attempt, content=record["content"])


def _condemned(state: Recollection, record: Record) -> None:
    failure = failure_of(record["failure"])
    attempt = state.attempts.get(record["attempt"]) or Attempt(
        record["attempt"], record["revision"], Intent.ADVANCE, time_of(record), record.get("content"), closed=False
    )
    state.attempts[attempt.id] = replace(
        attempt, condemned=True, failure=failure, touched=bool(record.get("touched", True))
    )
    quarantine(state, record, failure.reason)


def _ended(state: Recollection, record: Record) -> None:
    known = state.attempts.get(record["attempt"]) or Attempt(
        id=record["attempt"],
        revision=record["revision"],
        intent=Intent(record["intent"]),
        started_at=time_of(record),
    )
    attempt = replace(
        known,
        content=record.get("content") or known.content,
        outcome=Outcome(record["outcome"]),
        reason=Reason(record["reason"]),
        message=record["message"],
        ended_at=time_of(record),
        final=bool(record.get("final")),
        state=CommitState(record["state"]) if record.get("state") else None,
        reverted_to=record.get("revertedTo"),
        services=tuple(ServiceRecord(**item) for item in record.get("services", ())),
        failure=failure_of(record["failure"]) if record.get("failure") else known.failure,
        lines=tuple(record.get("lines", ())),
        closed=not record.get("closing", False),
    )
    state.attempts[attempt.id] = attempt
    state.unended = 0
    state.faults = state.faults + 1 if attempt.outcome is Outcome.FAILED else 0
    if attempt.final:
        state.finals.setdefault(attempt.revision, attempt)
    if record.get("good"):
        stacks = state.prepared.get(attempt.id, frozenset())
        state.adopted = {
            key: replace(item, proven=item.proven or (item.stack in stacks and not item.itself))
            for key, item in state.adopted.items()
        }
        state.quarantined.pop(attempt.revision, None)
        state.good = Good(attempt.revision, attempt.content or "", time_of(record))
    if record.get("bad"):
        quarantine(state, record, attempt.reason or Reason.STALLED)


def _closed(state: Recollection, record: Record) -> None:
    """Tidying up is one deed, whatever attempts had left something."""
    for attempt in [item for item in state.attempts.values() if not item.closed]:
        state.attempts[attempt.id] = replace(attempt, closed=True)
    for key in record.get("gone", ()):
        state.fetched.pop(key, None)


OF_ATTEMPTS: Mapping[str, Callable[[Recollection, Record], None]] = {
    "seen": _seen,
    "started": _started,
    "prepared": _prepared,
    "condemned": _condemned,
    "ended": _ended,
    "closed": _closed,
}
