"""Delay for a head that could not be judged: the same as after an attempt with an environment fault."""

from __future__ import annotations

from collections.abc import Hashable

from reconciler.decide.policy import LONGEST_DELAY, fault_delay
from reconciler.loop.turn import Turn
from reconciler.model.times import left


class Patience:
    """Kept in this process only: the outcomes of turns without an attempt are not recorded."""

    def __init__(self) -> None:
        self._about: Hashable = None
        self._faults, self._until = 0, 0.0
        self._turn: Turn | None = None

    def failed(self, about: Hashable, turn: Turn, now: float) -> float:
        """`about`: the head, and other inputs whose change allows a try at once. Returns the time of the next try (Unix
        seconds)."""
        self._faults = self._faults + 1 if about == self._about else 1
        self._about, self._turn, self._until = about, turn, now + fault_delay(self._faults)
        return self._until

    def waits_for(self, about: Hashable, now: float) -> tuple[Turn, float] | None:
        """The last fault, and the time of the next try (Unix seconds); None: it may be tried."""
        if self._turn is None or about != self._about or not left(self._until, now, LONGEST_DELAY):
            return None
        return self._turn, self._until
