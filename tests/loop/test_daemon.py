"""How long the agent waits between turns, and when it stops."""

from __future__ import annotations

from collections.abc import Callable

from reconciler.loop import daemon
from reconciler.loop.turn import Turn
from reconciler.model.outcome import Outcome
from tests.fakes.clock import VirtualClock
from tests.fakes.life import Life, service

INTERVAL = 30.0


class Diary:
    """An alarm that records the length of each wait; after so many waits the agent must end."""

    def __init__(self, clock: VirtualClock, waits: int, between: Callable[[], object] = lambda: None) -> None:
        self._clock, self._waits, self._between = clock, waits, between
        self.waits: list[float] = []
        self.turns: list[Turn] = []

    @property
    def ended(self) -> bool:
        return len(self.waits) == self._waits

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self._clock.seconds += seconds
        self._between()

    def told(self, turn: Turn) -> bool:
        self.turns.append(turn)
        return False


def test_what_a_commit_has_changed_is_looked_at_again_soon_and_then_at_the_usual_times() -> None:
    life = Life()
    life.push(web=service("web:1"))
    diary = Diary(life.machine.clock, 3)
    daemon.run(life.cycle, diary, life.machine.clock, INTERVAL, diary.told)
    assert [turn.outcome for turn in diary.turns] == [Outcome.SUCCEEDED, Outcome.UNCHANGED, Outcome.UNCHANGED]
    assert diary.waits == [daemon.SECOND_LOOK, INTERVAL, INTERVAL]


def test_what_is_corrected_again_and_again_is_looked_at_at_the_usual_times() -> None:
    life = Life()
    life.push(web=service("web:1"))
    life.turn()
    life.machine.vanishes("shop-web-1")
    diary = Diary(life.machine.clock, 3, lambda: life.machine.vanishes("shop-web-1"))
    daemon.run(life.cycle, diary, life.machine.clock, INTERVAL, diary.told)
    assert {turn.reason for turn in diary.turns} == {"DriftCorrected"}
    assert diary.waits == [INTERVAL] * 3


def test_it_ends_when_whoever_hears_of_a_turn_says_so() -> None:
    life = Life()
    life.push(web=service("web:1"))
    turns: list[Turn] = []

    def told(turn: Turn) -> bool:
        turns.append(turn)
        return turn.outcome is Outcome.UNCHANGED

    daemon.run(life.cycle, Diary(life.machine.clock, 10), life.machine.clock, INTERVAL, told)
    assert [turn.outcome for turn in turns] == [Outcome.SUCCEEDED, Outcome.UNCHANGED]
