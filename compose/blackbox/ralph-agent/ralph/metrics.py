"""The metrics at /metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from serving import family, label

from ralph.breaker import CAUSES, CLOSED, HALF_OPEN, OPEN
from ralph.gates import Move
from ralph.settings import Limits
from ralph.state import HOUR, State
from ralph.turn import RESULTS

STATUSES = ("starting", "running", "waiting", "paused", "limited", "finished", "stopping", "stopped")


def render(state: State, move: Move, limits: Limits, agent: str, now: float) -> str:
    return "\n".join(_lines(state, move, limits, label("agent", agent), now)) + "\n"


def _lines(state: State, move: Move, limits: Limits, agent: str, now: float) -> Iterator[str]:
    def metric(name: str, kind: str, about: str, value: float) -> Iterator[str]:
        yield from family(f"ralph_{name}", kind, about, {agent: value})

    def by(key: str, name: str, kind: str, about: str, values: Mapping[str, float]) -> Iterator[str]:
        samples = {f"{agent},{label(key, value)}": float(number) for value, number in values.items()}
        yield from family(f"ralph_{name}", kind, about, samples)

    breaker, today = state.breaker.at(now, limits).state, state.at(now)
    calls = sum(now - HOUR < at <= now for at in state.calls)
    is_now = {name: name == move.status for name in STATUSES}
    is_in = {name: name == breaker for name in (CLOSED, HALF_OPEN, OPEN)}
    yield from by("status", "status", "gauge", "1 for what the loop is doing", is_now)
    yield from by("state", "breaker_state", "gauge", "1 for the state of the circuit breaker", is_in)
    # Counters start with 0, so that Prometheus sees the first event as an increase.
    opens = {**dict.fromkeys(CAUSES, 0), **state.opens}
    yield from by("cause", "breaker_opens_total", "counter", "Times that the breaker opened", opens)
    results = {**dict.fromkeys(RESULTS, 0), **state.results}
    yield from by("result", "turns_total", "counter", "Turns by what came of them", results)
    yield from metric("calls_last_hour", "gauge", "Turns begun within an hour", calls)
    yield from metric("calls_per_hour_limit", "gauge", "How many may begin", limits.calls_per_hour)
    yield from metric("cost_usd_total", "counter", "What all turns have cost", state.usd_total)
    yield from metric("cost_usd_today", "gauge", "What today's turns (UTC) have cost", today.usd_today)
    yield from metric("cost_usd_per_day_limit", "gauge", "What they may cost", limits.usd_per_day)
    seconds = float(state.last_turn.get("seconds") or 0)
    yield from metric("last_turn_seconds", "gauge", "How long the last turn took", seconds)
    name = "last_progress_timestamp_seconds"
    yield from metric(name, "gauge", "When a turn last changed something", state.last_progress)
