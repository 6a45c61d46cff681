"""`run` continues after every fault: errors of this program, a journal that cannot be read, a status that cannot be
written."""

from __future__ import annotations

from collections.abc import Callable

from reconciler.errors import Corrupt
from reconciler.loop import daemon
from reconciler.loop.turn import Turn
from reconciler.model.outcome import Outcome, Reason
from tests.faults.moments import MomentLife


class Agent:
    """`daemon.run` in virtual time, for so many waits."""

    def __init__(self, life: MomentLife, waits: int) -> None:
        self._life, self._left = life, waits
        self.turns: list[Turn] = []
        self.waits: list[float] = []
        self.before: list[Callable[[], object]] = []

    @property
    def ended(self) -> bool:
        return self._left == 0

    def wait(self, seconds: float) -> None:
        self._left -= 1
        self.waits.append(seconds)
        self._life.machine.advance(seconds)
        if self.before:
            self.before.pop(0)()

    def run(self, told: Callable[[Turn], None] = lambda turn: None) -> list[Turn]:
        def hear(turn: Turn) -> bool:
            self.turns.append(turn)
            told(turn)
            return False

        daemon.run(self._life.cycle, self, self._life.machine.clock, 30.0, hear)
        return self.turns


def stumble() -> None:
    raise TypeError("nobody has thought of this")


def defects(life: MomentLife) -> list[str]:
    return [item["message"] for item in life.journal.lines if item["kind"] == "defect"]


def test_a_defect_in_a_turn_is_recorded_once_and_the_next_turns_go_on() -> None:
    life = MomentLife()
    life.commit("1")
    life.moments.always["F"] = stumble
    agent = Agent(life, 6)
    agent.before = [lambda: None] * 3 + [lambda: life.moments.always.pop("F")]
    turns = agent.run()
    assert [turn.reason for turn in turns[:4]] == [Reason.INTERNAL_ERROR] * 4
    assert "nobody has thought of this" in turns[0].message
    assert turns[4].outcome is Outcome.SUCCEEDED
    assert agent.waits[:4] == [30.0, 30.0, 40.0, 80.0], "a growing pause"
    assert defects(life) == ["TypeError: nobody has thought of this"]
    assert life.running()["shop-app-1"] == "app:1"


def test_a_commit_whose_rollout_meets_a_defect_three_times_is_rolled_back_as_soon_as_anything_can_start() -> None:
    life = MomentLife()
    life.commit("1")
    life.turn()
    bad = life.commit("2")
    life.moments.always["S"] = stumble
    turns = Agent(life, 5).run()
    assert {turn.reason for turn in turns[:4]} == {Reason.INTERNAL_ERROR}
    assert bad in life.cycle.history.quarantined
    life.moments.always.clear()
    Agent(life, 2).run()
    assert life.running() == {"shop-db-1": "db:1", "shop-app-1": "app:1"}
    assert life.reporter.told[bad] == ("failure", "InternalError")
    life.commit("3")
    assert Agent(life, 3).run()[-1].outcome in (Outcome.SUCCEEDED, Outcome.UNCHANGED)
    assert life.running() == {"shop-db-1": "db:1", "shop-app-1": "app:3"}


def test_a_status_that_cannot_be_told_ends_nothing() -> None:
    life = MomentLife()
    life.commit("1")
    turns = Agent(life, 3).run(lambda turn: stumble())
    assert [turn.outcome for turn in turns] == [Outcome.SUCCEEDED, Outcome.UNCHANGED, Outcome.UNCHANGED]


def test_a_journal_that_cannot_be_read_is_waited_for() -> None:
    life = MomentLife()
    life.commit("1")
    life.turn()
    read = life.journal.records

    def unreadable() -> list[object]:
        raise Corrupt(Reason.STALLED, "journal.jsonl:3:1: the record cannot be read", "fix it")

    life.journal.records = unreadable  # type: ignore[method-assign, assignment]
    before = life.machine.snapshot()
    agent = Agent(life, 4)
    agent.before = [lambda: None, lambda: None, lambda: setattr(life.journal, "records", read)]
    turns = agent.run()
    assert [turn.stalled for turn in turns] == [True, True, True, False]
    assert agent.waits == [30.0] * 4
    assert life.machine.snapshot() == before
