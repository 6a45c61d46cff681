"""Does anything grow? Agents and watcher at work for a long time; memory, files, processes and connections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import docker

from benchmarks.stack.load import Load
from benchmarks.stack.sampling import MIB, Series
from tests.stack.meanwhile import Meanwhile

EVERY = 15.0
WARM = 0.2
"""The share of the time that is left out: caches fill, and programs load what they need."""

FLOOR = 0.2
"""Of each third the value that a fifth of the samples stays below: what is there between two bursts of work, such as
the turns of an agent, each of which is a process of its own. What leaks raises it."""

_LOOK = (
    "files=0; for place in /proc/[0-9]*/fd; do set -- $place/*; [ -e $1 -o -L $1 ] && files=$((files + $#)); done; "
    'connections=$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk \'$1 != "sl" && $4 != "06"\' | wc -l); '
    "echo $files $connections"
)


@dataclass
class Opened:
    """What a container has open, each time that it was looked at."""

    files: list[int] = field(default_factory=list)
    connections: list[int] = field(default_factory=list)


class Queries(Meanwhile):
    """Looks into every container while it is entered. `opened`: container's name without the stack's → what was
    seen; those without a shell are left out."""

    def __init__(self, load: Load) -> None:
        super().__init__()
        self._load = load
        self.opened: dict[str, Opened] = {}

    def _run(self) -> None:
        host = self._load.stack.host
        running = [name for name, state in host.states().items() if state == "running"]
        while not self._stopped.is_set():
            for name in running:
                try:
                    files, connections = (int(word) for word in host.exec(name, _LOOK).split())
                except (AssertionError, ValueError, OSError, docker.errors.APIError):
                    continue
                seen = self.opened.setdefault(name.removesuffix("-1"), Opened())
                seen.files.append(files)
                seen.connections.append(connections)
            self._stopped.wait(EVERY)


@dataclass(frozen=True)
class Growth:
    """One figure of one container: the floor of the first and of the last third after warming up."""

    begin: float
    end: float
    leaks: bool


@dataclass(frozen=True)
class Kept:
    """One container: memory in bytes, its slope in MiB an hour, processes, open files, connections."""

    service: str
    memory: Growth
    slope: float
    processes: Growth
    files: Growth
    connections: Growth

    @property
    def leaks(self) -> bool:
        return any(item.leaks for item in (self.memory, self.processes, self.files, self.connections))


def growth(values: Sequence[float], allowed: Callable[[float], float]) -> Growth:
    """`allowed`: from what there was at first, what may be there in the end."""
    kept = list(values)[int(len(values) * WARM) :] or [0.0]
    third = max(1, len(kept) // 3)
    begin, end = (sorted(part)[int(len(part) * FLOOR)] for part in (kept[:third], kept[-third:]))
    return Growth(begin, end, end > allowed(begin))


def kept(name: str, series: Series, opened: Opened) -> Kept:
    """Room for what grows and comes to an end: a pool's connections, each a process of PostgreSQL's with 40 files. One
    thing lost in each turn of an agent is more than that in half an hour."""
    memory = [sample.memory for sample in series.samples]
    return Kept(
        name,
        growth(memory, lambda begin: 1.25 * begin + 4 * MIB),
        slope([(sample.at / 3600, sample.memory / MIB) for sample in series.samples][int(len(memory) * WARM) :]),
        growth([sample.processes for sample in series.samples], lambda begin: 1.5 * begin + 10),
        growth(opened.files, lambda begin: 1.5 * begin + 50),
        growth(opened.connections, lambda begin: 1.5 * begin + 10),
    )


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the straight line that fits best; 0 for fewer than two points."""
    if len(points) < 2:
        return 0.0
    x, y = (sum(values) / len(points) for values in zip(*points, strict=True))
    spread = sum((a - x) ** 2 for a, _ in points)
    return sum((a - x) * (b - y) for a, b in points) / spread if spread else 0.0


def table(found: Iterable[Kept]) -> str:
    """At most 80 columns; each figure as it was at first and in the end."""
    heads = f"{'memory, MiB':>13}{'MiB/h':>8}{'processes':>11}{'files':>12}{'connections':>13}"
    lines = [f"{'':15}{heads}", "-" * 72]
    for item in found:
        sizes = f"{item.memory.begin / MIB:.0f} → {item.memory.end / MIB:.0f}"
        counts = [f"{one.begin:.0f} → {one.end:.0f}" for one in (item.processes, item.files, item.connections)]
        shown = f"{sizes:>13}{item.slope:8.1f}{counts[0]:>11}{counts[1]:>12}{counts[2]:>13}"
        lines.append(f"{item.service:15}{shown}{' LEAK' if item.leaks else ''}")
    return "\n".join(lines)


def document(found: Iterable[Kept]) -> list[dict[str, Any]]:
    """What `--output json` prints of it; memory in bytes."""
    return [
        {
            "service": item.service, "mebibytesPerHour": round(item.slope, 2), "leaks": item.leaks,
            **{name: [getattr(item, name).begin, getattr(item, name).end]
               for name in ("memory", "processes", "files", "connections")},
        }
        for item in found
    ]  # fmt: skip
