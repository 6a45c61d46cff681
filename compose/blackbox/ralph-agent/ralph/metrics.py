"""What Prometheus reads at /metrics, on the container's networks alone."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ralph.breaker import CLOSED, HALF_OPEN, OPEN
from ralph.gates import Move
from ralph.settings import Limits
from ralph.state import HOUR, State

STATUSES = ("starting", "running", "waiting", "paused", "limited", "finished", "stopping", "stopped")
KIND = "text/plain; version=0.0.4; charset=utf-8"


def render(state: State, move: Move, limits: Limits, agent: str, now: float) -> str:
    return "\n".join(_lines(state, move, limits, agent, now)) + "\n"


def _lines(state: State, move: Move, limits: Limits, agent: str, now: float) -> Iterator[str]:
    def metric(name: str, kind: str, about: str, values: dict[str, float], label: str = "") -> Iterator[str]:
        yield f"# HELP ralph_{name} {about}"
        yield f"# TYPE ralph_{name} {kind}"
        for value, number in values.items():
            more = f",{label}={json.dumps(value)}" if label else ""
            yield f'ralph_{name}{{agent="{agent}"{more}}} {number!r}'

    breaker, today = state.breaker.at(now, limits).state, state.at(now)
    calls = sum(now - HOUR < at <= now for at in state.calls)
    is_now = {name: float(name == move.status) for name in STATUSES}
    is_in = {name: float(name == breaker) for name in (CLOSED, HALF_OPEN, OPEN)}
    yield from metric("status", "gauge", "1 for what the loop is doing", is_now, "status")
    yield from metric("breaker_state", "gauge", "1 for the state of the circuit breaker", is_in, "state")
    opens = {name: float(count) for name, count in state.opens.items()}
    yield from metric("breaker_opens_total", "counter", "Times that the breaker opened", opens, "cause")
    results = {name: float(count) for name, count in state.results.items()}
    yield from metric("turns_total", "counter", "Turns by what came of them", results, "result")
    yield from metric("calls_last_hour", "gauge", "Turns begun within an hour", {"": calls})
    yield from metric("calls_per_hour_limit", "gauge", "How many may begin", {"": limits.calls_per_hour})
    yield from metric("cost_usd_total", "counter", "What all turns have cost", {"": state.usd_total})
    yield from metric("cost_usd_today", "gauge", "What today's turns (UTC) have cost", {"": today.usd_today})
    yield from metric("cost_usd_per_day_limit", "gauge", "What they may cost", {"": limits.usd_per_day})
    seconds = float(state.last_turn.get("seconds") or 0)
    yield from metric("last_turn_seconds", "gauge", "How long the last turn took", {"": seconds})
    name = "last_progress_timestamp_seconds"
    yield from metric(name, "gauge", "When a turn last changed something", {"": state.last_progress})


def serve(port: int, page: Callable[[], str]) -> ThreadingHTTPServer:
    """Serves from a thread of its own for as long as the process lives. Port 0: any free one."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/metrics"
            body = page().encode() if found else b"there is only /metrics\n"
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", KIND)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("", port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
