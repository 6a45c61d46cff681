"""The memory of the turns: the journal, its folded history, and the last good state."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from reconciler.decide.history.compaction import compacted
from reconciler.decide.history.fold_state import failure_record, warning_records
from reconciler.decide.history.folding import Following
from reconciler.errors import Interrupted, ReconcilerError, Transient
from reconciler.log import logger
from reconciler.loop.ports import Clock, Journal
from reconciler.loop.turn import Turn
from reconciler.model.desired import Service
from reconciler.model.files import Commit
from reconciler.model.history import Attempt, Bad, Good, Held, History, ServiceRecord
from reconciler.model.outcome import RETRIED, CommitState, Failure, Intent, Outcome, Reason, Violation
from reconciler.model.status import Silence
from reconciler.values import dataclass

CUT_OFF = (Outcome.FAILED, Outcome.INTERRUPTED, Outcome.SUPERSEDED)
"""Ends of an attempt that may leave the machine anywhere between before and after."""

LINES = 100
"""Violations of one commit that are kept for its note; a commit may have thousands."""


MOST_HELD = 20
"""Maximum of recorded holds for one commit; a hold that comes and goes is not recorded for ever."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt, or a commit that was refused before any, ended.

    `state`: the commit's final one, recorded only if the commit has none yet. `good`: this is the new last good.
    `closing`: cleanup remains. `inputs`: digest of the host's config and secrets that the commit was judged by.
    """

    outcome: Outcome
    reason: Reason
    message: str
    state: CommitState | None = None
    content: str | None = None
    reverted_to: str | None = None
    good: bool = False
    failure: Failure | None = None
    services: Sequence[ServiceRecord] = ()
    violations: tuple[Violation, ...] = ()
    closing: bool = False
    hint: str = ""
    inputs: str = ""


class Ledger:
    """Every fact is durable when the method that records it returns.

    It is empty before the first `refresh`. `forgetful`: the journal is incomplete, so `recall` must read the mirror's
    pins.
    """

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal, self._clock = journal, clock
        self._told = Following()
        self._pinned: dict[str, Bad] = {}
        self._pinned_good: Good | None = None
        self._owed: list[tuple[str, float, Mapping[str, Any]]] = []
        self._held: dict[tuple[Reason, str], Held] = {}
        self.forgetful = True
        self._writing = threading.RLock()
        self.history = History()

    def refresh(self) -> None:
        """Write pending records, if there is room now, and read appended ones."""
        with self._writing:
            with suppress(Transient):
                self._pay()
            self._refresh()

    def _pay(self) -> None:
        while self._owed:
            kind, at, fields = self._owed[0]
            self._journal.append(kind, at=at, **fields)
            del self._owed[0]

    def _refresh(self) -> None:
        if not self._told.take(self._journal.records()):
            self.forgetful = True  # the file was deleted or replaced
        self._know()

    def _know(self) -> None:
        """The facts of the journal, and those that only the mirror's pins have."""
        history = self._told.history
        if not self._pinned and self._pinned_good is None:
            self.history = history
            return
        pinned = {sha: bad for sha, bad in self._pinned.items() if sha not in history.lifted}
        quarantined = {**pinned, **history.quarantined}
        self.history = replace(history, quarantined=quarantined, last_good=history.last_good or self._pinned_good)

    def recall(self, pins: Mapping[str, str]) -> None:
        """Read the mirror's refs once, in case the journal was lost.

        `<host>/bad/<sha>/<content>` → sha of what was quarantined, `<host>/good` → sha of last good.
        """
        if not self.forgetful:
            return
        for name, sha in pins.items():
            kind, _, content = name.partition("/")[2].partition("/")
            if kind == "bad":
                content = content.rpartition("/")[2]
                known = None if content == "refused" else content
                self._pinned[sha] = Bad(sha, known, Reason.REVISION_QUARANTINED, 0.0)
            elif kind == "good":
                self._pinned_good = Good(sha, "", 0.0)
        self.forgetful = False
        with suppress(Transient):
            self._write_down()
        self.refresh()

    def _write_down(self) -> None:
        """Writes facts that only the mirror has into the journal."""
        known = self._told.history
        for bad in [item for sha, item in self._pinned.items() if sha not in {*known.quarantined, *known.lifted}]:
            self.append("recalled", revision=bad.revision, content=bad.content, bad=True)
        if self._pinned_good is not None and known.last_good is None:
            self.append("recalled", revision=self._pinned_good.revision, content="", bad=False)

    def append(self, kind: str, **fields: Any) -> None:
        with self._writing:
            self._pay()
            self._journal.append(kind, at=self._clock.now(), **fields)
            self._refresh()

    def owe(self, kind: str, **fields: Any) -> None:
        """Add a record. If the disk refuses, the record is kept in memory and written before the next one."""
        try:
            self.append(kind, **fields)
        except Transient:
            self._owed.append((kind, self._clock.now(), fields))

    def shorten(self) -> None:
        """Shorten a long journal when no attempt is open."""
        with self._writing:
            if self._journal.is_long and not self.history.unfinished and self._journal.shorten(compacted):
                self._told = Following()
                self.refresh()

    def silent(self, silence: Silence) -> None:
        """Records a stall."""
        self.append("silent", step=silence.step, reason=silence.reason, message=silence.message)

    def held(self, turn: Turn, revision: str) -> None:
        """Records the hold of a commit, once while it stays the same."""
        known, said = self.history.holding(revision), (turn.reason, turn.message)
        told = any((item.reason, item.message) == said or item == self._held.get(said) for item in known)
        if told or len(known) >= MOST_HELD:
            return
        words = {"message": turn.message, "hint": turn.hint, **_warned(turn.warnings or turn.violations)}
        self.append("held", revision=revision, outcome=turn.outcome, reason=turn.reason, **words)
        # The journal masks secrets, so its text may differ.
        self._held = {**dict(list(self._held.items())[-MOST_HELD:]), said: self.history.held[-1]}

    def released(self, revision: str) -> None:
        """Records the end of the hold."""
        if self.history.holding(revision):
            self.append("released", revision=revision)

    def cut_off(self) -> None:
        """The process is about to be killed: record the open attempt as interrupted."""
        last = self.history.last
        if last is not None and last.open and not last.quarantined:
            message = "asked to end while the engine was busy; what runs is left as it is"
            self.end(Ending(Outcome.INTERRUPTED, Reason.INTERRUPTED, message), last.revision, last.intent, last.id)

    def start(self, revision: str, intent: Intent, violations: Iterable[Violation] = ()) -> Attempt:
        """An attempt begins; durable before its first effect. The warnings among `violations` stay on the record."""
        good = self.history.last_good
        name = self._next(revision)
        before = (good.revision or None) if good else None
        told = _warned(violations)
        self.append("started", attempt=name, revision=revision, intent=intent, before=before, **told)
        return self.attempt(name)

    def warn(self, attempt: str, warning: Violation) -> None:
        """Records another warning of the open attempt."""
        logger.warning("{}", warning.message)
        self.append("warned", attempt=attempt, warnings=warning_records([warning]))

    def attempt(self, name: str) -> Attempt:
        """Transient if the journal no longer has it."""
        for item in reversed(self.history.attempts):
            if item.id == name:
                return item
        raise Transient(
            Reason.DISK_FAILED,
            f"the journal was deleted or replaced while attempt {name} was under way",
            "nothing has to be done: the next turn starts from what is there",
        )

    @property
    def leftover(self) -> Attempt | None:
        """An attempt whose cleanup was interrupted."""
        return next((item for item in self.history.attempts if not item.closed), None)

    def quarantined(self, name: str) -> bool:
        """Whether the verdict on this attempt is written, or pending."""
        owed = any(kind == "condemned" and fields["attempt"] == name for kind, _, fields in self._owed)
        return owed or self.attempt(name).quarantined

    def end(self, ending: Ending, revision: str, intent: Intent, attempt: str | None = None) -> Turn:
        """An attempt ends; without one, a commit is decided before anything was started."""
        state = None if revision in self.history.finals else ending.state
        self.append(
            "ended",
            attempt=attempt or self._next(revision),
            revision=revision,
            intent=intent,
            outcome=ending.outcome,
            reason=ending.reason,
            message=ending.message,
            content=ending.content,
            final=state is not None,
            state=state,
            bad=ending.state is CommitState.FAILURE,
            revertedTo=ending.reverted_to,
            good=ending.good,
            failure=failure_record(ending.failure) if ending.failure else None,
            services=[_service(item) for item in ending.services],
            lines=[*(self._taken_back(revision) if state else ()), *(line(item) for item in ending.violations[:LINES])],
            closing=ending.closing or (attempt is not None and ending.outcome in CUT_OFF),
            inputs=ending.inputs,
        )
        return Turn(
            ending.outcome,
            ending.reason,
            ending.message,
            revision,
            intent,
            attempt,
            ending.reverted_to,
            ending.violations,
            ending.failure,
            ending.hint,
        )

    def fault(self, attempt: Attempt, error: ReconcilerError, failure: Failure | None = None) -> Turn:
        """An environment fault ended it: nothing is quarantined, and it is tried again later."""
        ending = Ending(Outcome.FAILED, error.reason, error.message, failure=failure, hint=error.hint)
        return self.end(ending, attempt.revision, attempt.intent, attempt.id)

    def interrupted(self, attempt: Attempt, error: Interrupted) -> None:
        ending = Ending(Outcome.INTERRUPTED, Reason.INTERRUPTED, error.message)
        self.end(ending, attempt.revision, attempt.intent, attempt.id)

    def supersede(self, attempt: Attempt, head: Commit) -> None:
        """An attempt under way ends because a newer commit is head."""
        decided = attempt.intent is not Intent.ADVANCE or self.history.was_decided(attempt.revision)
        state = None if decided else CommitState.SUPERSEDED
        ending = Ending(Outcome.SUPERSEDED, Reason.SUPERSEDED, f"{head.sha[:12]} took over", state)
        self.end(ending, attempt.revision, attempt.intent, attempt.id)

    def ran_once(self, service: Service) -> None:
        """A one-shot has succeeded; recorded once."""
        if service.spec not in self.history.ran_once:
            self.append("ranonce", stack=service.stack, service=service.name, spec=service.spec)

    def _taken_back(self, revision: str) -> list[str]:
        """A line for each final state of the commit that an operator's `retry` has opened again: the commit's note
        keeps these lines."""
        known = [item for item in self.history.attempts if item.revision == revision and item.state and not item.final]
        return [f"{RETRIED}{item.state} ({item.reason}) in attempt {item.id}" for item in known]

    def _next(self, revision: str) -> str:
        last = self.history.last
        number = int(last.id.partition("-")[0]) if last else 0
        return f"{number + 1}-{revision[:8]}"


def place(item: Violation) -> str:
    """`path:line:column: ` as far as it is known."""
    if item.path is None:
        return ""
    return item.path + "".join(f":{n}" for n in (item.line, item.column) if n is not None) + ": "


def line(item: Violation) -> str:
    """One violation in one line."""
    return f"{place(item)}{item.level} {item.rule}: {item.message}"


def _warned(violations: Iterable[Violation]) -> dict[str, Any]:
    warnings = warning_records(violations)
    return {"warnings": warnings} if warnings else {}


def _service(record: ServiceRecord) -> Mapping[str, Any]:
    return {
        "stack": record.stack,
        "service": record.service,
        "action": record.action,
        "downtime": record.downtime,
    }
