"""Turn after turn, until asked to end. Whatever wakes it early only shortens a wait and carries no data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from reconciler.decide.history.repeats import Repeats
from reconciler.errors import Corrupt, Transient
from reconciler.log import logger
from reconciler.loop.cycle import Cycle
from reconciler.loop.ports import Clock
from reconciler.loop.turn import Turn
from reconciler.model.outcome import Intent

FAULT_DELAY = 10.0
"""Seconds until the next turn after an environment fault; doubled each time, at most LONGEST_DELAY."""

LONGEST_DELAY = 600.0

SECOND_LOOK = 3.0
"""Seconds until the next turn after a turn that changed something."""


class Alarm(Protocol):
    """Timer and trigger in one."""

    def wait(self, seconds: float) -> None:
        """Return after `seconds`, or as soon as something may have happened."""

    @property
    def ended(self) -> bool:
        """Whether the process was asked to end."""


def run(cycle: Cycle, alarm: Alarm, clock: Clock, interval: float, told: Callable[[Turn], bool]) -> None:
    """Take turns until `alarm.ended`. `interval`: seconds between two turns. `told` is called after each turn, and
    returns whether it was the last.

    Nothing else ends the loop: it waits for unreadable own state, and goes on after defects.
    """
    faults, survived = 0, Survived(clock)
    while not alarm.ended:
        turn = _turn(cycle, survived)
        faults = faults + 1 if turn.exit_code == Transient.exit_code else 0
        enough = False
        with survived.while_doing("tell how the turn ended"):
            enough = told(turn)
        if enough:
            return
        if not alarm.ended:
            alarm.wait(_delay(turn, faults, clock.now(), interval))


def _turn(cycle: Cycle, survived: Survived) -> Turn:
    """One turn. After a defect of this program the next turn comes as usual."""
    try:
        return cycle.turn(patient=True)
    except Corrupt as error:
        return cycle.broken(error)
    except Exception as error:
        survived.tell("a turn ended with a defect of reconciler", error)
        return cycle.broken(error)


class Survived:
    """Logs defects that do not end the agent; a new defect is logged with its trace."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._repeats = clock, Repeats()

    def tell(self, what: str, error: Exception) -> None:
        if not self._repeats.is_known((what, repr(error)), self._clock.monotonic()):
            logger.opt(exception=error).error("{}: {}", what, error)

    @contextmanager
    def while_doing(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.tell(f"cannot {what}", error)


def _delay(turn: Turn, faults: int, now: float, interval: float) -> float:
    if turn.until is not None:
        return max(1.0, min(turn.until - now, interval))
    if faults:
        return max(interval, min(FAULT_DELAY * 2.0 ** min(faults - 1, 16), LONGEST_DELAY))
    if turn.attempt is not None and turn.intent is Intent.ADVANCE:
        return min(interval, SECOND_LOOK)
    return interval
