"""`nettest`: measures whether the connection to a machine is good enough to work over it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from threading import Event
from typing import Protocol

from reconciler.record import summary_remote
from reconciler.values import dataclass
from reconciler.verbs import Answer
from reconciler.verbs.tunnel import Forward

SAMPLES = 50
"""Round trips of the first measurement."""
EVERY = 1.0
"""Seconds between two round trips while the connection is watched."""

HIGHEST_RTT = 0.1
"""Seconds: more, and typing over the connection feels slow."""
LEAST_TRANSFER = 10e6
"""Bytes a second: less, and pushes and tunnels to databases feel slow."""


class Echo(Protocol):
    def round_trip(self) -> float | None: ...


class Line(Protocol):
    """The connection (`observe.line.Line`)."""

    def echo(self) -> AbstractContextManager[Echo]: ...

    def up(self) -> float | None: ...

    def down(self) -> float | None: ...


@dataclass(slots=True)
class Watched:
    """Measurements while the connection was watched. `rtts`: round trips in seconds."""

    rtts: list[float]
    reconnects: int = 0
    lost: float = 0.0
    seconds: float = 0.0


def net_test(
    host: str,
    line: Line,
    services: Callable[[], Sequence[tuple[Forward, float | None]]],
    reconnect: Callable[[], bool],
    seconds: float,
    tell: Callable[[str], None],
    stop: Event,
) -> Answer:
    """Measure the connection. `services`: returns each published port with the seconds until its answer. `reconnect`:
    connects again, returns whether that worked. `seconds`: how long to watch."""
    tell("round trips …")
    watched = watch(line, reconnect, 0.0, stop, samples=SAMPLES)
    tell("transfer …")
    up, down = line.up(), line.down()
    tell("services …")
    answered = services()
    if seconds > 0:
        tell(f"watch the connection for {seconds:g} s …")
        longer = watch(line, reconnect, seconds, stop)
        watched = Watched(
            watched.rtts + longer.rtts,
            watched.reconnects + longer.reconnects,
            watched.lost + longer.lost,
            watched.seconds + longer.seconds,
        )
    document = summary_remote.net_test(
        host,
        (percentile(watched.rtts, 50), percentile(watched.rtts, 95)),
        (up, down),
        [(item.stack, item.service, item.port, took) for item, took in answered],
        (watched.seconds, watched.reconnects, watched.lost),
        below(watched, up, down),
    )
    return (0 if document["verdict"] == "good" else 1), document


def watch(
    line: Line, reconnect: Callable[[], bool], seconds: float, stop: Event, samples: int | None = None
) -> Watched:
    """Measure round trips: one every EVERY seconds, or `samples` without a pause."""
    begun, found = time.monotonic(), Watched([])
    while not stop.is_set():
        with line.echo() as echo:
            while (took := echo.round_trip()) is not None and not stop.is_set():
                found.rtts.append(took)
                enough = len(found.rtts) >= samples if samples else time.monotonic() - begun >= seconds
                if enough:
                    found.seconds = time.monotonic() - begun
                    return found
                if samples is None:
                    stop.wait(EVERY)
        lost_at = time.monotonic()
        while not stop.is_set() and not reconnect() and time.monotonic() - begun < max(seconds, 60.0):
            stop.wait(EVERY)
        found.reconnects += 1
        found.lost += time.monotonic() - lost_at
        if time.monotonic() - begun >= max(seconds, 60.0):
            break
    found.seconds = time.monotonic() - begun
    return found


def below(watched: Watched, up: float | None, down: float | None) -> list[str]:
    """Sentences about values that miss their bound."""
    found = []
    slowest = percentile(watched.rtts, 95)
    if slowest is None or slowest >= HIGHEST_RTT:
        found.append(
            f"round trips take {_or_lost(slowest, 1000)} ms (p95): it should be below {HIGHEST_RTT * 1000:g} ms"
        )
    for word, rate in (("up", up), ("down", down)):
        if rate is None or rate <= LEAST_TRANSFER:
            found.append(f"{word} go {_or_lost(rate, 1e-6)} MB/s: more than {LEAST_TRANSFER / 1e6:g} MB/s is good")
    if watched.reconnects:
        found.append(f"the connection was lost {watched.reconnects} times, for {watched.lost:.0f} s in all")
    return found


def percentile(values: Sequence[float], part: int) -> float | None:
    """The value that `part` of 100 do not exceed."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * part // 100) - 1))]


def _or_lost(value: float | None, factor: float) -> str:
    return "no" if value is None else f"{value * factor:.1f}"
