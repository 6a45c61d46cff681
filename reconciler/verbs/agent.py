"""`once` and `run`: the only verbs that change the machine. They hold the state lock meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import field
from typing import Any, Protocol

from reconciler.decide.history.repeats import Repeats
from reconciler.effects import Effects
from reconciler.log import logger
from reconciler.loop import daemon
from reconciler.loop.cycle import Cycle
from reconciler.loop.daemon import Alarm
from reconciler.loop.ports import Clock
from reconciler.loop.turn import Turn
from reconciler.model.history import Attempt
from reconciler.model.outcome import Outcome, Reason
from reconciler.model.plan import Action, Plan, Step
from reconciler.model.status import Holding, Rollout, Silence
from reconciler.values import dataclass
from reconciler.verbs import Answer

BRIEF = frozenset({Action.START_CONTAINER, Action.RUN_ONCE, Action.UPDATE_CONTAINER, Action.REMOVE_CONTAINER})
"""Steps that take about as long as publishing them."""

AT_REST = frozenset({Outcome.UNCHANGED, Outcome.HELD, Outcome.REJECTED, Outcome.SUCCEEDED, Outcome.ROLLED_BACK})
"""Outcomes after which no rollout is open."""

SELDOM = 0.25
"""Minimum seconds between two status writes during brief steps: one write takes as long as such a step."""


@dataclass(slots=True)
class Progress:
    """The present progress, for `status` and for people. `stepped`: called when a step begins; must not make it
    wait."""

    clock: Clock
    tell: Callable[[str], None] = lambda line: None
    changed: Callable[[], None] = lambda: None
    stepped: Callable[[], None] = lambda: None
    rollout: Rollout | None = None
    holding: Holding | None = None
    silence: Silence | None = None
    error: str | None = None
    head: str | None = None
    fetched_at: float | None = None
    notes_error: str | None = None
    plan: tuple[Plan, Attempt] | None = None
    turn: Turn | None = None
    _since: dict[str, float] = field(default_factory=dict)
    _published_at: float = 0.0

    @property
    def line(self) -> str:
        """The present step, or the outcome of the last turn, in one line."""
        doing = self.rollout
        if doing is not None:
            return f"{doing.intent} to {doing.revision[:12]}: step {doing.step} of {doing.steps}"
        if self.turn is None:
            return "first turn"
        return f"{self.turn.outcome} {self.turn.reason} {(self.turn.revision or '')[:12]}: {self.turn.message}"

    def planned(self, plan: Plan, attempt: Attempt) -> None:
        """A plan will be carried out."""
        self.plan = plan, attempt

    def step(self, step: Step, steps: int, attempt: Attempt) -> None:
        """A step begins."""
        since = self._since.setdefault(attempt.id, self.clock.now())
        self.rollout = Rollout(
            attempt.id, attempt.revision, attempt.intent, step.n, steps, step.action, step.stack, step.service, since
        )
        self.tell(f"{step.n:>3}/{steps} {step.action} {_object(step)}({step.cause})")
        now = self.clock.monotonic()
        if step.action not in BRIEF or now - self._published_at >= SELDOM:
            self._published_at = now
            self.stepped()

    def ended(self, turn: Turn) -> None:
        """A turn has ended."""
        self.rollout, self.plan, self.turn = None, None, turn
        same = self.holding is not None and self.holding.reason is turn.reason
        since = self.holding.since if self.holding is not None and same else self.clock.now()
        self.holding = None
        if turn.attempt is None and turn.outcome in (Outcome.HELD, Outcome.FAILED) and not _not_fetched(turn):
            self.holding = Holding(turn.reason, turn.message, turn.hint, since, turn.until or turn.again)
        self.error = turn.fetch_error or (turn.message if _not_fetched(turn) else None)
        if turn.revision is not None and self.error is None:
            self.head, self.fetched_at = turn.revision, self.clock.now()
        self.changed()


def _not_fetched(turn: Turn) -> bool:
    """Whether the turn could not fetch; that is reported as an error of the source."""
    return turn.reason is Reason.FETCH_FAILED


class Outbox(Protocol):
    """`worked`: it has loaded modules whose memory only a restart of the process frees. `busy`: it delivers a
    message."""

    @property
    def worked(self) -> bool: ...

    @property
    def busy(self) -> bool: ...


class Previews(Protocol):
    """Judges pull requests in a separate process. `start` begins a look; `look` waits for its end, for a limited
    time."""

    @property
    def busy(self) -> bool: ...

    def start(self) -> None: ...

    def look(self) -> None: ...


class AgentVerbs:
    """The verbs that may change the machine. `outboxes`: empty if nobody gets reports. `previews` None: pull requests
    are not judged."""

    def __init__(
        self,
        cycle: Cycle,
        effects: Effects,
        progress: Progress,
        clock: Clock,
        preload: Callable[[], None] = lambda: None,
        outboxes: Sequence[Outbox] = (),
        previews: Previews | None = None,
    ) -> None:
        self._outboxes, self._previews = outboxes, previews
        self._cycle, self._effects, self._progress, self._clock = cycle, effects, progress, clock
        self._worked, self._repeats, self._preload = False, Repeats(), preload

    def once(self, tell: Callable[[str], None]) -> Answer:
        """One turn, now."""
        self._progress.tell = tell
        begun = self._clock.monotonic()
        turn = self._cycle.turn()
        self._progress.ended(turn)
        seconds = self._clock.monotonic() - begun
        if self._previews is not None and turn.outcome in AT_REST:
            self._previews.look()
        return turn.exit_code, self._document(turn, seconds)

    def run(self, alarm: Alarm, interval: float, *, fresh: bool) -> bool:
        """Take turns. True: the process was asked to end. False: all work is done, and a turn has found nothing to do.

        `fresh`: this process has done no work yet, so a restart would free no memory.
        """
        self._progress.tell = logger.info
        self._worked = not fresh
        logger.log("DEBUG" if fresh else "INFO", "watching the branch every {:g} s", interval)
        daemon.run(self._cycle, alarm, self._clock, interval, self._told)
        return alarm.ended

    def expect_work(self) -> None:
        """Load the modules that a commit needs, because the branch has moved or a push arrives. Once in a process: a
        restart frees them when all work is done."""
        if not self._worked:
            self._worked = True
            self._preload()

    def stacks(self) -> Collection[str]:
        """Names of the stacks that are or were managed."""
        return self._cycle.history.stacks

    def containers(self) -> Collection[str] | None:
        """Ids of the containers that the last turn saw; None if they were changed since."""
        looked = self._cycle.looked
        return None if looked is None else {item.id for item in looked.containers}

    def _told(self, turn: Turn) -> bool:
        """Log and publish the end of a turn. Returns whether all work is done."""
        self._progress.ended(turn)
        self._worked = self._worked or turn.attempt is not None
        level = "INFO" if turn.exit_code == 0 else "WARNING"
        if turn.outcome is Outcome.UNCHANGED:
            level = "DEBUG"
        about = (turn.reason, turn.revision, turn.message)
        if level == "WARNING" and self._repeats.is_known(about, self._clock.monotonic()):
            level = "DEBUG"
        elif level != "WARNING" and self._repeats.end():
            level = "INFO"
        logger.log(level, "{} {} {}: {}", turn.outcome, turn.reason, (turn.revision or "")[:12], turn.message)
        self._worked = self._worked or any(outbox.worked for outbox in self._outboxes)
        if any(outbox.busy for outbox in self._outboxes):
            return False
        done = self._worked and turn.outcome is Outcome.UNCHANGED
        if self._previews is None:
            return done
        if not done and turn.attempt is None and turn.outcome in AT_REST:
            self._previews.start()
        return done and not self._previews.busy

    def _document(self, turn: Turn, seconds: float) -> Mapping[str, Any]:
        from reconciler.record import summary

        known = next((item for item in reversed(self._cycle.history.attempts) if item.id == turn.attempt), None)
        return summary.turn(
            outcome=turn.outcome,
            reason=turn.reason,
            message=turn.message,
            effects=self._effects.count,
            duration=seconds,
            revision=turn.revision,
            intent=turn.intent,
            attempt=turn.attempt,
            reverted_to=turn.reverted_to,
            hint=turn.hint,
            failure=turn.failure,
            services=known.services if known else (),
            violations=turn.violations,
            warnings=known.warnings if known else turn.warnings,
        )


def _object(step: Step) -> str:
    if step.stack is None:
        return ""
    return f"{step.stack}/{step.service or step.container} "
