"""The circuit breaker: closed, open for a time, half open for one turn. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ralph.settings import Limits
from ralph.turn import Turn, signature

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half-open"
CAUSES = ("denials", "same-error", "no-progress", "failures", "decline")
"""The limits that can open the breaker."""
REMEMBERED = 5
DECLINES = 2
"""Turns in a row with less output that open the breaker. A single short answer is normal."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """`cause`: the limit that opened it. `reason`: a sentence with details. `opened`: seconds since 1970."""

    state: str = CLOSED
    cause: str = ""
    reason: str = ""
    opened: float = 0.0
    no_progress: int = 0
    fruitless: int = 0
    """Turns in a row without progress, failed turns included, whatever their errors."""
    same_error: int = 0
    error: str = ""
    denials: int = 0
    declines: int = 0
    outputs: tuple[int, ...] = ()

    def after(self, turn: Turn, limits: Limits, now: float) -> Breaker:
        """The breaker after a turn. A limited or interrupted turn does not count: it says nothing about the work."""
        if turn.limited or turn.interrupted:
            return self
        counted = self._counted(turn, limits)
        cause, reason = counted._over(turn, limits)
        if not cause and self.state == HALF_OPEN and counted._bad(turn):
            cause, reason = self.cause, f"tried again, and again: {turn.error or self.reason}"
        if cause:
            # After a decline forget the old lengths: later turns are compared with the new, shorter ones.
            outputs = () if cause == "decline" else counted.outputs
            return replace(counted, state=OPEN, cause=cause, reason=reason, opened=now, outputs=outputs)
        return replace(counted, state=CLOSED, cause="", reason="")

    def at(self, now: float, limits: Limits) -> Breaker:
        """Half open once the cool-down is over. A clock that was set back keeps it open."""
        if self.state == OPEN and now >= self.opened + limits.cooldown:
            return replace(self, state=HALF_OPEN)
        return self

    def _counted(self, turn: Turn, limits: Limits) -> Breaker:
        same = signature(turn.error)
        declined = self._declined(turn, limits)
        usual = not turn.error and not declined
        return replace(
            self,
            # A failed turn counts as an error only, not also as a turn without progress.
            no_progress=0 if turn.progress else self.no_progress if turn.error else self.no_progress + 1,
            fruitless=0 if turn.progress else self.fruitless + 1,
            same_error=0 if not same else self.same_error + 1 if same == self.error else 1,
            error=same,
            denials=self.denials + 1 if turn.denials else 0,
            declines=self.declines + 1 if declined else 0,
            outputs=(*self.outputs, turn.output)[-REMEMBERED:] if usual else self.outputs,
        )

    def _declined(self, turn: Turn, limits: Limits) -> bool:
        if turn.error or turn.signal or len(self.outputs) < 2:
            return False
        return turn.output < (1 - limits.decline / 100) * sum(self.outputs) / len(self.outputs)

    def _over(self, turn: Turn, limits: Limits) -> tuple[str, str]:
        if self.denials >= limits.denials:
            return "denials", f"{self.denials} turns in a row asked for what is not permitted"
        if self.same_error >= limits.same_error:
            return "same-error", f"the same error {self.same_error} times: {turn.error}"
        if self.no_progress >= limits.no_progress:
            return "no-progress", f"{self.no_progress} turns changed nothing"
        if self.fruitless >= limits.no_progress + limits.same_error:
            last = turn.error or "no change"
            return "failures", f"{self.fruitless} turns failed or changed nothing, the last: {last}"
        if self.declines >= DECLINES:
            return "decline", f"{self.declines} turns said at least {limits.decline:g} % less than those before"
        return "", ""

    def _bad(self, turn: Turn) -> bool:
        return bool(turn.error or turn.denials or not turn.progress)
