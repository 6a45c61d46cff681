"""The cost of the agent at rest, after it has rolled out a change: memory, and share of a core."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Bar
from benchmarks.sides import both, changed, services, wait_until

SECONDS = 95.0
"""Seconds of the measurement: three polls at the usual interval of 30 s."""


def run(pairs: int) -> Iterator[Bar]:
    wanted = services(7)
    with both() as (ours, _):
        ours.applied(wanted)
        with ours.agent() as process:
            sha = ours.commit(changed(wanted, "s2", "2"))
            wait_until(lambda: ours.good() == sha)
            time.sleep(10.0)
            before = _cpu(process.pid)
            time.sleep(SECONDS)
            spent = _cpu(process.pid) - before
            memory = {name: _memory(process.pid, name) for name in ("Rss", "Pss")}
    yield Bar("idle agent, resident memory", "MB", memory["Rss"], None, 40.0)
    yield Bar("idle agent, its share of shared pages", "MB", memory["Pss"])
    yield Bar("idle agent, share of a core", "%", 100 * spent / SECONDS, None, 0.2)


def _cpu(pid: int) -> float:
    """Seconds of processor time of the process and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(fields[n]) for n in range(11, 15)) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int, name: str) -> float:
    """An entry of the process's memory figures in MiB (1,048,576 bytes)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024
