"""Decides whether the next turn may begin; if not, why and until when. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ralph.breaker import HALF_OPEN, OPEN
from ralph.settings import Limits
from ralph.state import HOUR, State

DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Move:
    """`status` is `running` if the turn may begin. `until`: seconds since 1970; 0: until something changes."""

    status: str
    reason: str = ""
    until: float = 0.0


GO = Move("running")


def next_move(state: State, limits: Limits, missing: str, prompt: str, now: float) -> Move:
    """`missing`: what a turn needs and does not have, or ''. `prompt`: the digest of the prompt."""
    if state.paused:
        return Move("paused", f"by a person: {state.paused}")
    if missing:
        return Move("waiting", missing)
    if state.finished == prompt:
        return Move("finished", "the work is done; another prompt, or `ralph resume`, begins again")
    breaker = state.breaker.at(now, limits)
    if breaker.state == OPEN:
        return Move("paused", f"breaker open: {breaker.reason}", breaker.opened + limits.cooldown)
    if state.put_off_until > now:
        return Move("limited", state.put_off_why, state.put_off_until)
    calls = sorted(at for at in state.calls if at > now - HOUR)
    if len(calls) >= limits.calls_per_hour:
        return Move("limited", f"{len(calls)} calls in an hour", calls[-limits.calls_per_hour] + HOUR)
    if state.at(now).usd_today >= limits.usd_per_day:
        return Move("limited", f"the day's budget of {limits.usd_per_day:g} USD is spent", now - now % DAY + DAY)
    return GO if breaker.state != HALF_OPEN else Move("running", "one turn to see whether it works again")
