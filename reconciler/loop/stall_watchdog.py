"""No silent stop: five minutes without progress leave one record that names the step and the reason.

Progress is: a step or a phase of the turn begins, a builder or a registry says something, or a gate's wait looks at
its containers (that wait has deadlines of its own). A thread of its own asks `check`: the one that acts may be blocked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from reconciler.loop.ports import Clock
from reconciler.loop.turn import Turn
from reconciler.model.outcome import Outcome, Reason
from reconciler.model.status import Silence
from reconciler.values import dataclass

LIMIT = 300.0
"""Seconds without progress, or with the same failure, after which a stall is reported."""

FETCH = "fetch the branch"
"""The first step of each turn. If it fails, the turn goes on and corrects drift."""


@dataclass(slots=True)
class _Trouble:
    """The reason for which turns keep ending. `at`: monotonic seconds of the first one's end; `since`: its Unix
    time."""

    step: str
    reason: Reason
    message: str
    at: float
    since: float


class StallWatchdog:
    """Takes notice of progress from any thread. Reports once after `limit` seconds without progress.

    `record` is called once for each stall, `ended` when a reported stall is over.
    """

    def __init__(
        self,
        clock: Clock,
        record: Callable[[Silence], None] = lambda silence: None,
        ended: Callable[[], None] = lambda: None,
        limit: float = LIMIT,
    ) -> None:
        self._clock, self._record, self._ended, self.limit = clock, record, ended, limit
        self._lock = threading.Lock()
        self._step, self._waits_for, self._busy = "", "", False
        self._heard_at = clock.monotonic()
        self._trouble: _Trouble | None = None
        self._told: Silence | None = None

    @property
    def silence(self) -> Silence | None:
        """The reported stall, if it is not over yet."""
        return self._told

    def begins(self, step: str, waits_for: str) -> None:
        """A step of a turn begins: its name, and the program or service that it waits for."""
        with self._lock:
            self._step, self._waits_for, self._busy = step, waits_for, True
        self.heard()

    def heard(self) -> None:
        """The present step makes progress."""
        with self._lock:
            self._heard_at = self._clock.monotonic()
            over = self._told is not None and self._told.blocked
            if over:
                self._told = None
        if over:
            self._ended()

    def decided(self, turn: Turn) -> None:
        """A turn ended: with the same failure as the last one, another, or none."""
        self.heard()
        with self._lock:
            self._trouble = self._same_trouble(turn)
            if self._told is not None and (self._trouble is None or self._told.reason is not self._trouble.reason):
                self._told = None

    def rests(self) -> None:
        """No progress is expected until the next step begins."""
        self.heard()
        with self._lock:
            self._busy = False

    def check(self) -> None:
        """Report a stall, unless it was reported."""
        with self._lock:
            silence = self._blocked() or self._stuck()
            if silence is None or (self._told is not None and self._told.since == silence.since):
                return
            self._told = silence
        self._record(silence)

    def _same_trouble(self, turn: Turn) -> _Trouble | None:
        if turn.outcome not in (Outcome.FAILED, Outcome.HELD, Outcome.ROLLBACK_FAILED):
            return None
        if turn.reason is Reason.SUSPENDED:
            return None  # an operator suspended the host
        known = self._trouble
        if known is not None and known.reason is turn.reason:
            return known
        step = FETCH if turn.reason in (Reason.FETCH_FAILED, Reason.NOT_FAST_FORWARD) else self._step
        return _Trouble(step, turn.reason, turn.message, self._clock.monotonic(), self._clock.now())

    def _blocked(self) -> Silence | None:
        quiet = self._clock.monotonic() - self._heard_at
        if not self._busy or quiet < self.limit:
            return None
        message = f"{self._step}: no progress for {self.limit:g} s, it waits for {self._waits_for}"
        since = self._told.since if self._told and self._told.blocked else self._clock.now() - quiet
        return Silence(self._step, Reason.STALLED, message, since, blocked=True)

    def _stuck(self) -> Silence | None:
        trouble = self._trouble
        if trouble is None or self._clock.monotonic() - trouble.at < self.limit:
            return None
        message = f"{trouble.step}: without success for {self.limit:g} s: {trouble.message}"
        return Silence(trouble.step, trouble.reason, message, trouble.since, blocked=False)
