"""Folds records of attempts and verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from reconciler.decide.history.fold_state import FoldState, Record, failure_of, quarantine, time_of, warning_of
from reconciler.decide.history.outline import planned_of
from reconciler.model.history import Good, ServiceRecord
from reconciler.model.outcome import CommitState, Intent, Outcome, Reason

_INTENTS, _OUTCOMES = {item.value: item for item in Intent}, {item.value: item for item in Outcome}
_REASONS, _STATES = {item.value: item for item in Reason}, {item.value: item for item in CommitState}
"""Looking a word up takes a fifth of the time of calling its class; a long journal has some 100,000 of them."""


def _seen(state: FoldState, record: Record) -> None:
    state.seen.append(record["revision"])
    state.seen_at = time_of(record)
    state.release(state.seen_at)


def _started(state: FoldState, record: Record) -> None:
    state.unended += 1
    at = time_of(record)
    for earlier in tuple(state.open):
        state.tell(earlier, {"outcome": Outcome.INTERRUPTED, "reason": Reason.INTERRUPTED, "ended_at": at})
    if record["intent"] == Intent.ADVANCE:
        state.release(at, record["revision"])
    state.begin(
        record["attempt"],
        revision=record["revision"],
        intent=_INTENTS[record["intent"]],
        started_at=at,
        before=record.get("before"),
        warnings=tuple(map(warning_of, record.get("warnings", ()))),
    )


def _warned(state: FoldState, record: Record) -> None:
    known = state.known(record["attempt"], "warnings") or ()
    new = [item for item in map(warning_of, record["warnings"]) if item not in known]
    state.tell(record["attempt"], {"warnings": (*known, *new)})


def _prepared(state: FoldState, record: Record) -> None:
    stacks = state.prepared[record["attempt"]] = frozenset(record.get("stacks", ()))
    state.stacks |= stacks
    state.backoffs.clear()
    # if the journal was deleted during an attempt, it does not know the attempt's beginning
    state.tell(record["attempt"], {"content": record["content"], "stacks": tuple(sorted(stacks))})


def _planned(state: FoldState, record: Record) -> None:
    state.tell(record["attempt"], {"planned": planned_of(record)})


def _quarantined(state: FoldState, record: Record) -> None:
    failure = failure_of(record["failure"])
    name = record["attempt"]
    if name not in state.attempts:
        at, content = time_of(record), record.get("content")
        state.begin(name, revision=record["revision"], intent=Intent.ADVANCE, started_at=at, content=content)
    state.tell(name, {"quarantined": True, "failure": failure, "touched": bool(record.get("touched", True))})
    quarantine(state, record, failure.reason)


def _ended(state: FoldState, record: Record) -> None:
    name, revision, at = record["attempt"], record["revision"], time_of(record)
    if name not in state.attempts:
        state.begin(name, revision=revision, intent=_INTENTS[record["intent"]], started_at=at)
    told: dict[str, Any] = {
        "outcome": _OUTCOMES[record["outcome"]],
        "reason": _REASONS[record["reason"]],
        "message": record["message"],
        "ended_at": at,
        "final": bool(record.get("final")),
        "state": _STATES[record["state"]] if record.get("state") else None,
        "reverted_to": record.get("revertedTo"),
        "services": tuple(ServiceRecord(**item) for item in record.get("services", ())),
        "lines": tuple(record.get("lines", ())),
        "closed": not record.get("closing", False),
    }
    if record.get("content"):
        told["content"] = record["content"]
    if record.get("failure"):
        told["failure"] = failure_of(record["failure"])
    state.tell(name, told)
    state.unended = 0
    state.faults = state.faults + 1 if told["outcome"] is Outcome.FAILED else 0
    if told["outcome"] is not Outcome.FAILED:
        state.defects.pop(revision, None)
    if record["intent"] == Intent.ADVANCE and told["outcome"] is not Outcome.FAILED:
        state.release(at, revision)
    if told["final"]:
        state.finals.setdefault(revision, name)
    if record.get("good"):
        stacks = state.prepared.get(name, frozenset())
        state.adopted = {
            key: replace(item, proven=item.proven or (item.stack in stacks and not item.itself))
            for key, item in state.adopted.items()
        }
        state.quarantined.pop(revision, None)
        state.good = Good(revision, state.known(name, "content") or "", at)
    if record.get("bad"):
        quarantine(state, record, told["reason"])


def _closed(state: FoldState, record: Record) -> None:
    """One `closed` record closes all attempts."""
    for name in list(state.drafts):
        state.tell(name, {"closed": True})
    for key in record.get("gone", ()):
        state.fetched.pop(key, None)


OF_ATTEMPTS: Mapping[str, Callable[[FoldState, Record], None]] = {
    "seen": _seen,
    "started": _started,
    "warned": _warned,
    "prepared": _prepared,
    "planned": _planned,
    "condemned": _quarantined,
    "ended": _ended,
    "closed": _closed,
}
