"""What the monitor knows at one moment. Everything that it serves is made from this."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from reconciler.model.alerts import Alert
from reconciler.model.endpoints import Check, Watched
from reconciler.model.history import History
from reconciler.model.measures import Measures
from reconciler.model.times import instant
from reconciler.values import dataclass

Json = Mapping[str, Any]

MISSED = 3
"""Intervals of the agent without a sign of it, after which it counts as silent."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`status`, `history`: documents of the contract, masked; None while they cannot be made, and `error` says why.

    `heartbeat`: when the agent published something last, in seconds of the Unix epoch. `interval`: of the agent, in
    seconds. `past`: the history that `history` is made from. `engine_errors`: looks at the engine that failed since the
    monitor has started. `watched`: the endpoints that are to answer. `endpoints`: what was found of them last.
    """

    at: float
    host: str
    interval: float
    status: Json | None = None
    history: Json | None = None
    past: History = field(default_factory=History)
    error: str | None = None
    heartbeat: float | None = None
    measures: Measures | None = None
    engine_errors: int = 0
    alerts: tuple[Alert, ...] = ()
    watched: tuple[Watched, ...] = ()
    endpoints: tuple[Check, ...] = ()

    @property
    def used(self) -> int | None:
        """Bytes that containers use now; None where nothing is measured."""
        return sum(item.memory for item in self.measures.usage.values()) if self.measures else None

    def counted(self) -> tuple[Mapping[str, int], Mapping[str, int]]:
        """STACK/SERVICE → restarts by the engine, and kills for lack of memory."""
        restarts: Counter[str] = Counter()
        kills: Counter[str] = Counter()
        for item in self.measures.containers if self.measures else ():
            name = f"{item.stack}/{item.service}"
            restarts[name] += item.restarts
            kills[name] += self.measures.oom_kills.get(item.id, 0) if self.measures else 0
        return restarts, kills

    def silent(self, now: float) -> bool:
        """Whether the agent has given no sign for too long.

        A rollout under way may wait long in one step, which the agent itself watches; and after a fault of the
        environment it says when it tries again.
        """
        if self.status is None or not self.status["agent"]["running"] or self.heartbeat is None:
            return True
        if self.status["rollout"] is not None:
            return False
        again = self.status["nextTryAt"]
        expected = max(self.heartbeat, instant(again) if again else 0.0)
        return now > expected + MISSED * self.interval

    def fault(self, now: float) -> str | None:
        """Why the agent is not well; None: it is well."""
        if self.status is None:
            return self.error or "nothing is known yet"
        if self.status["stalled"]:
            return "stalled: a person is needed"
        if not self.status["agent"]["running"]:
            return "the agent does not run"
        return "the agent has given no sign for three intervals" if self.silent(now) else None


class Board:
    """The newest snapshot, for all threads. `version` grows with each."""

    def __init__(self, first: Snapshot) -> None:
        self._lock = threading.Lock()
        self._snapshot, self._version = first, 0

    def post(self, snapshot: Snapshot) -> None:
        with self._lock:
            self._snapshot, self._version = snapshot, self._version + 1

    @property
    def newest(self) -> Snapshot:
        return self._snapshot

    @property
    def version(self) -> int:
        return self._version
