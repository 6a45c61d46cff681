"""The state of the fold, after the records so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import field, fields, replace
from typing import Any

from reconciler.model.desired import ServiceKey
from reconciler.model.engine import Engine
from reconciler.model.history import Adopted, Attempt, Bad, Good, Held, History, RestartBackoff
from reconciler.model.outcome import Failure, Intent, Level, Reason, Violation
from reconciler.model.requests import Answered, Suspension
from reconciler.model.stock import Fetched
from reconciler.model.times import instant
from reconciler.values import dataclass

Record = Mapping[str, Any]

WARNED = 100
"""Warnings of one attempt that are kept."""

WARNED_TEXT = 1 << 15
"""Characters of these together: some 100 warnings of usual length."""

_WARNING = ("reason", "rule", "message", "hint", "path", "line", "column", "pointer", "stack", "service")

_DRAFT = Attempt("", "", Intent.ADVANCE, 0.0)
"""Placeholder of an attempt until it is built."""


@dataclass(slots=True)
class FoldState:
    """`history`: the result of the records so far; each of its fields has its counterpart here.

    `drafts`: fields of attempts that are not closed, and may still change; `open`: attempts that have not ended.
    `released`: number of the first `held` that have ended. `finals`: commit → attempt.
    """

    attempts: dict[str, Attempt] = field(default_factory=dict)
    drafts: dict[str, dict[str, Any]] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)
    good: Good | None = None
    quarantined: dict[str, Bad] = field(default_factory=dict)
    finals: dict[str, str] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    told: set[str] = field(default_factory=set)
    told_at: float | None = None
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
    kept: str = ""
    asked: dict[str, frozenset[str]] = field(default_factory=dict)
    consented: set[str] = field(default_factory=set)
    prepared: dict[str, frozenset[str]] = field(default_factory=dict)
    adopted: dict[str, Adopted] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    backoffs: dict[ServiceKey, RestartBackoff] = field(default_factory=dict)
    tolerated: set[tuple[str, str, str]] = field(default_factory=set)
    unstartable: set[str] = field(default_factory=set)
    stopped: dict[str, str] = field(default_factory=dict)
    defects: dict[str, int] = field(default_factory=dict)
    held: list[Held] = field(default_factory=list)
    released: int = 0
    unproven: set[str] = field(default_factory=set)
    engine: Engine | None = None

    def begin(self, name: str, **known: Any) -> None:
        """An attempt that has not ended."""
        self.attempts.setdefault(name, _DRAFT)
        self.drafts[name] = {"id": name, "closed": False, **known}
        self.open.add(name)

    def tell(self, name: str, known: Mapping[str, Any]) -> None:
        """Adds fields to an attempt; ignored if the attempt has no `started` record."""
        if name not in self.attempts:
            return
        if name not in self.drafts:
            self.drafts[name] = {item.name: getattr(self.attempts[name], item.name) for item in fields(Attempt)}
        draft = self.drafts[name]
        draft |= known
        if "outcome" in known:
            self.open.discard(name)
        if draft["closed"] and name not in self.open:
            self.attempts[name] = Attempt(**self.drafts.pop(name))

    def release(self, at: float, revision: str | None = None) -> None:
        """Ends the hold of this commit; None: of every commit."""
        for n in range(self.released, len(self.held)):
            item = self.held[n]
            if item.ended_at is None and revision in (None, item.revision):
                self.held[n] = replace(item, ended_at=at)
        if all(item.ended_at is not None for item in self.held[self.released :]):
            self.released = len(self.held)

    def known(self, name: str, what: str) -> Any:
        """A recorded field of an attempt; None if it is not known."""
        draft = self.drafts.get(name)
        return getattr(self.attempts.get(name), what, None) if draft is None else draft.get(what)

    def history(self) -> History:
        """The whole history."""
        for name, draft in self.drafts.items():
            self.attempts[name] = Attempt(**draft)
        return History(
            tuple(self.attempts.values()),
            self.good,
            dict(self.quarantined),
            {sha: self.attempts[name] for sha, name in self.finals.items()},
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
            self.kept,
            asked=dict(self.asked),
            consented=frozenset(self.consented),
            adopted=dict(self.adopted),
            links=dict(self.links),
            backoffs=dict(self.backoffs),
            tolerated=frozenset(self.tolerated),
            unstartable=frozenset(self.unstartable),
            stopped=dict(self.stopped),
            defects=dict(self.defects),
            told_at=self.told_at,
            held=tuple(self.held),
            unproven=frozenset(self.unproven),
            engine=self.engine,
        )


def failure_record(failure: Failure) -> dict[str, Any]:
    """A failure in the form of the journal."""
    return {
        "reason": failure.reason,
        "message": failure.message,
        "stack": failure.stack,
        "service": failure.service,
        "exitCode": failure.exit_code,
        "healthOutput": failure.health_output,
        "log": list(failure.log),
    }


def failure_of(record: Record) -> Failure:
    """The reverse of `failure_record`."""
    return Failure(
        Reason(record["reason"]),
        record["message"],
        record.get("stack"),
        record.get("service"),
        record.get("exitCode"),
        record.get("healthOutput"),
        tuple(record.get("log", ())),
    )


def warning_records(violations: Iterable[Violation]) -> list[dict[str, Any]]:
    """The warnings in the form of the journal: some of each rule before more of one, within bounds."""
    seen: Counter[str] = Counter()
    numbered: list[tuple[int, int, Violation]] = []
    for item in violations:
        if item.level is Level.WARN:
            numbered.append((seen[item.rule], len(numbered), item))
            seen[item.rule] += 1
    kept, room = [], WARNED_TEXT
    for _, n, item in sorted(numbered, key=lambda entry: entry[:2])[:WARNED]:
        record = {name: value for name in _WARNING if (value := getattr(item, name)) is not None}
        room -= sum(len(str(value)) for value in record.values())
        if room >= 0:
            kept.append((n, record))
    return [record for _, record in sorted(kept, key=lambda entry: entry[0])]


def warning_of(record: Record) -> Violation:
    """The reverse of `warning_records`, for one."""
    known: dict[str, Any] = {name: value for name, value in record.items() if name in _WARNING}
    return Violation(**known | {"reason": Reason(record["reason"]), "level": Level.WARN})


def time_of(record: Record) -> float:
    """Seconds of the Unix epoch."""
    return instant(record["at"])


def quarantine(state: FoldState, record: Record, reason: Reason) -> None:
    """A quarantine by content stays; a rejection by this host's inputs is replaced by a later verdict."""
    state.lifted.discard(record["revision"])
    bad = Bad(record["revision"], record.get("content"), reason, time_of(record), record.get("inputs") or "")
    known = state.quarantined.get(bad.revision)
    if known is None or known.content is None:
        state.quarantined[bad.revision] = bad
