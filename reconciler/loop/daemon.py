"""Turn after turn, until asked to end. Whatever wakes it early only shortens a wait and carries no data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from loguru import logger

from reconciler.decide.history.repeats import Repeats
from reconciler.errors import Corrupt, Transient
from reconciler.loop.cycle import Cycle
from reconciler.loop.ports import Clock
from reconciler.loop.turn import Turn
from reconciler.model.outcome import Intent

FAULT_DELAY = 10.0
"""Seconds until the first look after a turn that could not find out; doubled each time, at most LONGEST_DELAY."""

LONGEST_DELAY = 600.0

SECOND_LOOK = 3.0
"""Seconds after which what a commit has changed is looked at again."""


class Alarm(Protocol):
    """Timer and trigger in one."""

    def wait(self, seconds: float) -> None:
        """Return after `seconds`, or as soon as something may have happened."""

    @property
    def ended(self) -> bool:
        """Whether the process was asked to end."""


def run(cycle: Cycle, alarm: Alarm, clock: Clock, interval: float, told: Callable[[Turn], bool]) -> None:
    """Take turns until `alarm.ended`. `interval`: seconds between two looks; `told` hears of each turn's end, and
    says whether it is to be the last.

    Nothing else ends it: own state that cannot be read is waited for, defects are survived.
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
    """One turn. Whatever is wrong with us, the machine is looked after again later: nobody else does."""
    try:
        return cycle.turn(patient=True)
    except Corrupt as error:
        return cycle.broken(error)
    except Exception as error:
        survived.tell("a turn ended with a defect of reconciler", error)
        return cycle.broken(error)


class Survived:
    """Defects that the agent outlives, each with its trace while it is new."""

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
