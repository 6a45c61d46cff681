"""The state of the host at one moment. The monitor serves it; only logs and further attempts are read for a request."""

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
"""Intervals of the agent after which it counts as silent, if it has published nothing in them."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`status`, `history`: documents as `--output json` prints them, masked; None if they cannot be made, and `error`
    says why. `at`: time of the snapshot; `heartbeat`: time at which the agent last published its turn; both in seconds
    of the Unix epoch. `interval`: of the agent, in seconds. `past`: the history from which `history` is made.
    `engine_errors`: failed calls to the engine since the monitor's start. `watched`: the endpoints that must answer.
    `endpoints`: their last answers.
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
        """Bytes of memory that containers use now; None if nothing was measured, or the engine did not answer."""
        if self.measures is None or not self.measures.answered:
            return None
        return sum(item.memory for item in self.measures.usage.values())

    def counted(self) -> tuple[Mapping[str, int], Mapping[str, int]]:
        """Two maps from STACK/SERVICE: restarts by the engine, and kills for lack of memory."""
        restarts: Counter[str] = Counter()
        kills: Counter[str] = Counter()
        for item in self.measures.containers if self.measures else ():
            name = f"{item.stack}/{item.service}"
            restarts[name] += item.restarts
            kills[name] += self.measures.oom_kills.get(item.id, 0) if self.measures else 0
        return restarts, kills

    def silent(self, now: float) -> bool:
        """Whether the agent does not run, or has published nothing for too long.

        Never during a rollout: one step may take long, and the agent's own watchdog watches it. After a fault of the
        environment the time counts from the announced next try.
        """
        if self.status is None or not self.status["agent"]["running"] or self.heartbeat is None:
            return True
        if self.status["rollout"] is not None:
            return False
        again = self.status["nextTryAt"]
        expected = max(self.heartbeat, instant(again) if again else 0.0)
        return now > expected + MISSED * self.interval

    def fault(self, now: float) -> str | None:
        """The fault of the agent, for people; None if it has none."""
        if self.status is None:
            return self.error or "nothing is known yet"
        if self.status["stalled"]:
            return "stalled: a person is needed"
        if not self.status["agent"]["running"]:
            return "the agent does not run"
        return "the agent has given no sign for three intervals" if self.silent(now) else None


class Board:
    """Holds the newest snapshot for all threads. `version` grows with each snapshot."""

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
