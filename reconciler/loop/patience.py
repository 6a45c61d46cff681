"""How long a head waits that could not even be judged: as long as one whose attempt met a fault of the environment."""

from __future__ import annotations

from collections.abc import Hashable

from reconciler.decide.policy import fault_delay
from reconciler.loop.turn import Turn


class Patience:
    """Of this process alone: what a turn comes to before an attempt is not recorded, or each would be."""

    def __init__(self) -> None:
        self._about: Hashable = None
        self._faults, self._until = 0, 0.0
        self._turn: Turn | None = None

    def failed(self, about: Hashable, turn: Turn, now: float) -> float:
        """`about`: the head, and whatever else makes it worth another try at once. Returns when it is tried again
        (Unix seconds)."""
        self._faults = self._faults + 1 if about == self._about else 1
        self._about, self._turn, self._until = about, turn, now + fault_delay(self._faults)
        return self._until

    def waits_for(self, about: Hashable, now: float) -> tuple[Turn, float] | None:
        """What it met last, and until when (Unix seconds) it is left alone; None: it may be tried."""
        if self._turn is None or about != self._about or now >= self._until:
            return None
        return self._turn, self._until
