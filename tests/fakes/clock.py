"""Time that passes only when a test waits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

EPOCH = 1_700_000_000.0


@dataclass
class VirtualClock:
    """A `loop.ports.Clock`. `seconds` have passed since the beginning; each wait adds to them.

    `offset`: error of the wall clock in seconds.
    """

    seconds: float = 0.0
    offset: float = 0.0

    def now(self) -> float:
        return EPOCH + self.seconds + self.offset

    def monotonic(self) -> float:
        return self.seconds

    def text(self, distinct: int) -> str:
        """Now in the engine's format; `distinct` (below 1000) separates events of one moment."""
        moment = datetime.fromtimestamp(self.now(), UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S.%f}{distinct:03}Z"
