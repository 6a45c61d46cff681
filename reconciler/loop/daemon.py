"""Turn after turn, until asked to end. Whatever wakes it early only shortens a wait and carries no data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from reconciler.loop.cycle import Cycle
from reconciler.loop.ports import Clock
from reconciler.loop.turn import Turn

FAULT_DELAY = 10.0
"""Seconds until the first look after a turn that could not find out; doubled each time, at most LONGEST_DELAY."""

LONGEST_DELAY = 600.0


class Alarm(Protocol):
    """Timer and trigger in one."""

    def wait(self, seconds: float) -> None:
        """Return after `seconds`, or as soon as something may have happened."""

    @property
    def ended(self) -> bool:
        """Whether the process was asked to end."""


def run(cycle: Cycle, alarm: Alarm, clock: Clock, interval: float, told: Callable[[Turn], None]) -> None:
    """Take turns until `alarm.ended`. `interval`: seconds between two looks; `told` hears of each turn's end."""
    faults = 0
    while not alarm.ended:
        turn = cycle.turn(patient=True)
        faults = faults + 1 if turn.exit_code == 3 else 0
        told(turn)
        if not alarm.ended:
            alarm.wait(_delay(turn, faults, clock.now(), interval))


def _delay(turn: Turn, faults: int, now: float, interval: float) -> float:
    if turn.until is not None:
        return max(1.0, min(turn.until - now, interval))
    if faults:
        return max(interval, min(FAULT_DELAY * 2.0 ** min(faults - 1, 16), LONGEST_DELAY))
    return interval
