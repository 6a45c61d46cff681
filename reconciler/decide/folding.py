"""The journal's records, folded into a History. Pure: the same records give the same history.

| kind | says |
|---|---|
| seen | a commit was head at a poll |
| started, prepared | an attempt began; its content is known and everything of it is ready |
| condemned | the verdict: never again. The way back begins |
| ended | an attempt is over, or a commit was decided without one; `final`: its one final state |
| closed | what attempts had left is tidied up |
| fetched | an image was brought to the machine |
| adopted | containers that plain Compose had started are ours from now on, as what; what there is to go back to |
| ranonce | a one-shot has succeeded |
| healed, recovered | a service is started again that ended or ailed by itself; it works by itself again |
| tolerated | a difference outlived its own repair: this engine makes containers so |
| unstartable | a container that had run does not start any more |
| recalled | a journal that was lost knew that a commit is bad, or was good: the mirror has told it |
| told | the final state stands on the commit |
| silent, defect | five minutes without progress; an error of ours. For people: nothing follows from them |
| requested | an operator asked for something (suspend, resume, retry, accept), and what was answered |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from reconciler.decide.healing import started_again
from reconciler.model.desired import ServiceKey
from reconciler.model.history import Adopted, Attempt, Bad, Care, Good, History, ServiceRecord
from reconciler.model.outcome import CommitState, Failure, Intent, Outcome, Reason
from reconciler.model.requests import Answered, RequestVerb, Suspension
from reconciler.model.stock import Fetched

Record = Mapping[str, Any]


@dataclass(slots=True)
class Fold:
    """Takes one record after the other; `history` is what they tell so far."""

    attempts: dict[str, Attempt] = field(default_factory=dict)
    good: Good | None = None
    quarantined: dict[str, Bad] = field(default_factory=dict)
    finals: dict[str, Attempt] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    told: set[str] = field(default_factory=set)
    ran_once: set[str] = field(default_factory=set)
    stacks: set[str] = field(default_factory=set)
    fetched: dict[str, Fetched] = field(default_factory=dict)
    unended: int = 0
    faults: int = 0
    seen_at: float = 0.0
    requests: list[Answered] = field(default_factory=list)
    suspension: Suspension | None = None
    accepted: set[str] = field(default_factory=set)
    lifted: set[str] = field(default_factory=set)
    prepared: dict[str, frozenset[str]] = field(default_factory=dict)
    adopted: dict[str, Adopted] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    cares: dict[ServiceKey, Care] = field(default_factory=dict)
    tolerated: set[tuple[str, str, str]] = field(default_factory=set)
    unstartable: set[str] = field(default_factory=set)

    def add(self, record: Record) -> None:
        """Fold in the next record. A kind that this version does not know changes nothing it knows."""
        handler = _HANDLERS.get(record["kind"])
        if handler is not None:
            handler(self, record)

    def history(self) -> History:
        return History(
            tuple(self.attempts.values()),
            self.good,
            dict(self.quarantined),
            dict(self.finals),
            tuple(self.seen),
            frozenset(self.told),
            frozenset(self.ran_once),
            frozenset(self.stacks),
            dict(self.fetched),
            self.unended,
            self.faults,
            self.seen_at,
            tuple(self.requests),
            self.suspension,
            frozenset(self.accepted),
            frozenset(self.lifted),
            adopted=dict(self.adopted),
            links=dict(self.links),
            cares=dict(self.cares),
            tolerated=frozenset(self.tolerated),
            unstartable=frozenset(self.unstartable),
        )


def fold(records: Iterable[Record]) -> History:
    """Everything that the journal tells."""
    state = Fold()
    for record in records:
        state.add(record)
    return state.history()


def failure_record(failure: Failure) -> dict[str, Any]:
    """A failure as the journal keeps it."""
    return {
        "reason": failure.reason,
        "message": failure.message,
        "stack": failure.stack,
        "service": failure.service,
        "exitCode": failure.exit_code,
        "healthOutput": failure.health_output,
        "log": list(failure.log),
    }


def _seen(state: Fold, record: Record) -> None:
    state.seen.append(record["revision"])
    state.seen_at = _time(record)


def _started(state: Fold, record: Record) -> None:
    state.unended += 1
    for earlier in [item for item in state.attempts.values() if item.open]:
        state.attempts[earlier.id] = replace(
            earlier, outcome=Outcome.INTERRUPTED, reason=Reason.INTERRUPTED, ended_at=_time(record)
        )
    state.attempts[record["attempt"]] = Attempt(
        id=record["attempt"],
        revision=record["revision"],
        intent=Intent(record["intent"]),
        started_at=_time(record),
        before=record.get("before"),
        closed=False,
    )


def _prepared(state: Fold, record: Record) -> None:
    state.stacks |= set(record.get("stacks", ()))
    state.prepared[record["attempt"]] = frozenset(record.get("stacks", ()))
    state.cares.clear()
    attempt = state.attempts.get(record["attempt"])
    if attempt is not None:  # a journal that was deleted in the middle of an attempt does not know how it began
        state.attempts[attempt.id] = replace(attempt, content=record["content"])


def _condemned(state: Fold, record: Record) -> None:
    failure = _failure(record["failure"])
    attempt = state.attempts.get(record["attempt"]) or Attempt(
        record["attempt"], record["revision"], Intent.ADVANCE, _time(record), record.get("content"), closed=False
    )
    state.attempts[attempt.id] = replace(
        attempt, condemned=True, failure=failure, touched=bool(record.get("touched", True))
    )
    _quarantine(state, record, failure.reason)


def _ended(state: Fold, record: Record) -> None:
    known = state.attempts.get(record["attempt"]) or Attempt(
        id=record["attempt"],
        revision=record["revision"],
        intent=Intent(record["intent"]),
        started_at=_time(record),
    )
    attempt = replace(
        known,
        content=record.get("content") or known.content,
        outcome=Outcome(record["outcome"]),
        reason=Reason(record["reason"]),
        message=record["message"],
        ended_at=_time(record),
        final=bool(record.get("final")),
        state=CommitState(record["state"]) if record.get("state") else None,
        reverted_to=record.get("revertedTo"),
        services=tuple(ServiceRecord(**item) for item in record.get("services", ())),
        failure=_failure(record["failure"]) if record.get("failure") else known.failure,
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
            key: replace(item, proven=item.proven or item.stack in stacks) for key, item in state.adopted.items()
        }
        state.quarantined.pop(attempt.revision, None)
        state.good = Good(attempt.revision, attempt.content or "", _time(record))
    if record.get("bad"):
        _quarantine(state, record, attempt.reason or Reason.STALLED)


def _quarantine(state: Fold, record: Record, reason: Reason) -> None:
    """What was refused for its content stays so; a refusal by this host's inputs is replaced by a later verdict."""
    state.lifted.discard(record["revision"])
    bad = Bad(record["revision"], record.get("content"), reason, _time(record), record.get("inputs") or "")
    known = state.quarantined.get(bad.revision)
    if known is None or known.content is None:
        state.quarantined[bad.revision] = bad


def _closed(state: Fold, record: Record) -> None:
    """Tidying up is one deed, whatever attempts had left something."""
    for attempt in [item for item in state.attempts.values() if not item.closed]:
        state.attempts[attempt.id] = replace(attempt, closed=True)
    for key in record.get("gone", ()):
        state.fetched.pop(key, None)


def _fetched(state: Fold, record: Record) -> None:
    state.fetched.pop(record["image"], None)
    state.fetched[record["image"]] = Fetched(record["revision"], tuple(record["names"]))


def _adopted(state: Fold, record: Record) -> None:
    """Containers that were there before us. With `content` they are also what there is to go back to."""
    for name, item in record["containers"].items():
        mounts = {target: (kind, source, bool(rw)) for target, (kind, source, rw) in item["mounts"].items()}
        proven = name in state.adopted and state.adopted[name].proven
        state.adopted[name] = Adopted(item["stack"], item["spec"], mounts, item["image"], proven)
    state.links |= record["links"]
    state.stacks |= set(record["stacks"])
    if record.get("content"):
        state.good = Good(state.good.revision if state.good else "", record["content"], _time(record))


def _ran_once(state: Fold, record: Record) -> None:
    state.ran_once.add(record["spec"])


def _healed(state: Fold, record: Record) -> None:
    key = (record["stack"], record["service"])
    state.cares[key] = started_again(state.cares.get(key, Care()), _time(record))


def _recovered(state: Fold, record: Record) -> None:
    state.cares.pop((record["stack"], record["service"]), None)


def _tolerated(state: Fold, record: Record) -> None:
    state.tolerated.add((record["spec"], record["fact"], record["found"]))


def _unstartable(state: Fold, record: Record) -> None:
    state.unstartable.add(record["container"])


def _recalled(state: Fold, record: Record) -> None:
    if record["bad"]:
        _quarantine(state, record, Reason.REVISION_QUARANTINED)
    else:
        state.good = state.good or Good(record["revision"], "", _time(record))


def _told(state: Fold, record: Record) -> None:
    state.told.add(record["revision"])


def _requested(state: Fold, record: Record) -> None:
    until = record.get("until")
    asked = Answered(
        record["request"],
        RequestVerb(record["verb"]),
        bool(record["done"]),
        _time(record),
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


def _suspend(state: Fold, asked: Answered) -> None:
    state.suspension = Suspension(asked.why, asked.at, asked.until)


def _resume(state: Fold, asked: Answered) -> None:
    state.suspension = None
    state.seen_at = asked.at  # a head that was kept waiting has its whole time before it


def _retry(state: Fold, asked: Answered) -> None:
    """What was refused is so no longer; where that concerns the head, its final state is open again."""
    for sha in asked.lifted:
        state.quarantined.pop(sha, None)
    state.lifted |= set(asked.lifted)
    state.unended = state.faults = 0
    state.cares.clear()
    if state.seen and state.seen[-1] in (asked.revision, *asked.lifted):
        _reopen(state, state.seen[-1], asked.at)


def _reopen(state: Fold, revision: str, at: float) -> None:
    state.seen_at = at
    known = state.finals.get(revision)
    if known is not None and known.state is not CommitState.SUCCESS:
        del state.finals[revision]
        state.told.discard(revision)
        state.attempts[known.id] = replace(state.attempts[known.id], final=False)


def _accept(state: Fold, asked: Answered) -> None:
    state.accepted.add(asked.revision or "")


def _failure(record: Record) -> Failure:
    return Failure(
        Reason(record["reason"]),
        record["message"],
        record.get("stack"),
        record.get("service"),
        record.get("exitCode"),
        record.get("healthOutput"),
        tuple(record.get("log", ())),
    )


def _time(record: Record) -> float:
    return datetime.fromisoformat(record["at"]).timestamp()


_HANDLERS = {
    "seen": _seen,
    "started": _started,
    "prepared": _prepared,
    "condemned": _condemned,
    "ended": _ended,
    "closed": _closed,
    "fetched": _fetched,
    "ranonce": _ran_once,
    "told": _told,
    "recalled": _recalled,
    "requested": _requested,
    "adopted": _adopted,
    "healed": _healed,
    "recovered": _recovered,
    "tolerated": _tolerated,
    "unstartable": _unstartable,
}

_GRANTED = {
    RequestVerb.SUSPEND: _suspend,
    RequestVerb.RESUME: _resume,
    RequestVerb.RETRY: _retry,
    RequestVerb.ACCEPT: _accept,
}
