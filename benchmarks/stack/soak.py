"""Checks that nothing grows while agents and watcher work for a long time: memory, files, processes, connections."""

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
"""The share of the time at the beginning that is ignored: caches fill, and programs load their code."""

FLOOR = 0.2
"""The floor of a third is the value that a fifth of its samples stay below: the figure between two bursts of work,
such as turns of an agent, which are processes of their own. A leak raises the floor."""

_LOOK = (
    "files=0; for place in /proc/[0-9]*/fd; do set -- $place/*; [ -e $1 -o -L $1 ] && files=$((files + $#)); done; "
    'connections=$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk \'$1 != "sl" && $4 != "06"\' | wc -l); '
    "echo $files $connections"
)


@dataclass
class Opened:
    """The open files and connections of a container, one value per sample."""

    files: list[int] = field(default_factory=list)
    connections: list[int] = field(default_factory=list)


class Queries(Meanwhile):
    """Samples every container during the block. `opened`: name of the container, without the stack's name → its values.
    Containers without a shell are left out."""

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
    """One figure of one container: its floor in the first and in the last third of the time after warming up."""

    begin: float
    end: float
    leaks: bool


@dataclass(frozen=True)
class Kept:
    """The figures of one container: memory in bytes, its slope in MiB per hour, processes, open files, connections."""

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
    """The growth of a figure. `allowed`: from the floor at the beginning to the largest allowed floor at the end."""
    kept = list(values)[int(len(values) * WARM) :] or [0.0]
    third = max(1, len(kept) // 3)
    begin, end = (sorted(part)[int(len(part) * FLOOR)] for part in (kept[:third], kept[-third:]))
    return Growth(begin, end, end > allowed(begin))


def kept(name: str, series: Series, opened: Opened) -> Kept:
    """The figures with their allowed growth. There is room for growth that ends, such as a pool's connections, each of
    them a process of PostgreSQL with 40 files. A leak of one per turn of an agent exceeds this room in half an hour."""
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
    """The slope of the best straight line through the points; 0 for fewer than two points."""
    if len(points) < 2:
        return 0.0
    x, y = (sum(values) / len(points) for values in zip(*points, strict=True))
    spread = sum((a - x) ** 2 for a, _ in points)
    return sum((a - x) * (b - y) for a, b in points) / spread if spread else 0.0


def table(found: Iterable[Kept]) -> str:
    """The table for people, at most 80 columns wide: each figure at the beginning and at the end."""
    heads = f"{'memory, MiB':>13}{'MiB/h':>8}{'processes':>11}{'files':>12}{'connections':>13}"
    lines = [f"{'':15}{heads}", "-" * 72]
    for item in found:
        sizes = f"{item.memory.begin / MIB:.0f} → {item.memory.end / MIB:.0f}"
        counts = [f"{one.begin:.0f} → {one.end:.0f}" for one in (item.processes, item.files, item.connections)]
        shown = f"{sizes:>13}{item.slope:8.1f}{counts[0]:>11}{counts[1]:>12}{counts[2]:>13}"
        lines.append(f"{item.service:15}{shown}{' LEAK' if item.leaks else ''}")
    return "\n".join(lines)


def document(found: Iterable[Kept]) -> list[dict[str, Any]]:
    """Its part of the document of `--output json`; memory in bytes."""
    return [
        {
            "service": item.service, "mebibytesPerHour": round(item.slope, 2), "leaks": item.leaks,
            **{name: [getattr(item, name).begin, getattr(item, name).end]
               for name in ("memory", "processes", "files", "connections")},
        }
        for item in found
    ]  # fmt: skip
