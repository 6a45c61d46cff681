"""What `plan` says before a turn, and whether the turn agrees.

- Whatever the turn carries out first is what the plan lists: the same steps for the same reasons in the same order, up
  to the first failure, crash, or newer commit. Where the plan lists none, none is carried out.
- Where `outcome` or `reason` is told, the turn ends with the same outcome, reason, message and hint. A plan that is
  carried out beside it (last good is corrected while a commit is held) may fail, and then the turn tells that.
- Where neither is told, the turn begins with the plan. If it succeeds, it has carried out all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from reconciler.errors import Transient
from reconciler.loop.rehearsal import TOLD
from reconciler.loop.turn import Turn
from reconciler.model.history import Attempt
from reconciler.model.outcome import Outcome, Reason
from reconciler.model.plan import Action, Step
from tests.fakes.life import Life

TOGETHER = str(Action.CREATE_CONTAINER)
"""New containers are created together; only the first one's step is told."""

FETCHING = (Action.PULL, Action.BUILD)


class Foretold:
    """`plan` is asked when this is made. Asking changes nothing."""

    def __init__(self, life: Life) -> None:
        self._life = life
        before = self._state()
        try:
            self.code, self.plan = life.plan()
        except Transient as error:
            if error.reason is not Reason.FETCH_FAILED:
                raise
            self.code, self.plan = 3, {}
        assert self._state() == before, "asking has changed something"
        self._lines, self._walked = len(life.journal.lines), len(life.walked)

    def _state(self) -> object:
        life = self._life
        waiting = [item.id for item in life.requests.left]
        effects, now = life.machine.effects.count, life.machine.clock.now()
        return len(life.journal.lines), waiting, effects, now, dict(life.source.pinned), life.machine.snapshot()

    def check(self, turn: Turn | None) -> None:
        """`turn` None: the process was killed."""
        if not self.plan:
            if turn is not None and not turn.fetch_error and turn.outcome is not Outcome.INTERRUPTED:
                assert turn.reason is Reason.FETCH_FAILED, turn
            return
        walked = self._first()
        whole = self._agree([step for _, step in walked])
        if turn is None:
            return
        told = tuple(self.plan[key] for key in ("outcome", "reason", "message", "hint"))
        open_yet = told[:2] == (None, None)
        if open_yet and self.plan["steps"]:
            assert walked, f"nothing was begun: {turn}"
        if not open_yet and self._succeeded(walked):
            assert told == (TOLD.get(turn.outcome), turn.reason, turn.message, turn.hint), turn
        closed = any(line["kind"] == "closed" for line in self._news())
        if turn.outcome is Outcome.SUCCEEDED and closed:
            assert whole or walked[0][0].id != turn.attempt, f"less was done than planned: {turn}"
        if self.code == 0:
            assert not self._life.walked[self._walked :], f"there was something to do: {turn}"

    def _news(self) -> Sequence[Mapping[str, Any]]:
        return self._life.journal.lines[self._lines :]

    def _first(self) -> list[tuple[Attempt, Step]]:
        """What was carried out first: of one attempt in one direction, and of one walk. An attempt that was interrupted
        by a newer commit may be walked again in the same turn."""
        walked = self._life.walked[self._walked :]
        leg = [item for item in walked if _leg(item) == _leg(walked[0])]
        again = (
            n
            for n, ((_, before), (_, step)) in enumerate(pairwise(leg), 1)
            if step.n <= before.n and before.action not in FETCHING
        )
        return leg[: next(again, len(leg))]

    def _agree(self, walked: Sequence[Step]) -> bool:
        """Whether all of the plan was carried out."""
        left = iter([_told(step) for step in self.plan["steps"]])
        for step in walked:
            self._next(left, _as_told(step))
        return all(step[0] == TOGETHER for step in left)

    def _next(self, left: Iterator[tuple[Any, ...]], step: tuple[Any, ...]) -> None:
        for planned in left:
            if planned == step:
                return
            assert planned[0] == TOGETHER, f"{step} was done, and {planned} was planned"
        raise AssertionError(f"{step} was not planned")

    def _succeeded(self, walked: Sequence[tuple[Attempt, Step]]) -> bool:
        """Whether what was carried out beside it did not fail."""
        begun = {line["attempt"] for line in self._news() if line["kind"] == "started"}
        ended = {line["attempt"] for line in self._news() if line["kind"] == "ended" and line["outcome"] == "Succeeded"}
        return begun <= ended


def _leg(item: tuple[Attempt, Step]) -> tuple[object, ...]:
    attempt, _ = item
    return attempt.id, attempt.intent


def _told(step: Mapping[str, Any]) -> tuple[Any, ...]:
    memory = step["memoryAfterBytes"] if step["action"] not in FETCHING else None
    return (*(step[key] for key in ("action", "stack", "service", "container", "cause")), memory)


def _as_told(step: Step) -> tuple[Any, ...]:
    memory = step.memory_after if step.action not in FETCHING else None  # a fetch itself is not told of the sum
    return (str(step.action), step.stack, step.service, step.container, step.cause, memory)
