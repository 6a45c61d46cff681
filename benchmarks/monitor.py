"""The cost of agent and monitor at rest, with 10 and with 60 containers. Ten of them publish a port, which the monitor
asks twice a minute."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.measure import Bar
from benchmarks.sides import IMAGE, Services, both, services, wait_until
from tests.e2e.services import server
from tests.e2e.test_monitor import free_port

SETTLED, SECONDS = 30.0, 120.0
"""Seconds before the measurement, and of the measurement."""

PUBLISHED = 10
MOST_MEMORY, MOST_SHARE = 60.0, 0.5
"""Bars of the monitor: MB (1,000,000 bytes), and per cent of a core."""


def run(pairs: int) -> Iterator[Bar]:
    for number in (PUBLISHED, 60):
        with both() as (ours, _), ExitStack() as running:
            ours.configure(monitor={"listen": f"127.0.0.1:{free_port()}"})
            ours.applied(_services(number))
            pids = {"agent": running.enter_context(ours.agent()).pid}
            pids["monitor"] = running.enter_context(ours.started("monitor")).pid
            wait_until(lambda: ours.good() is not None)
            time.sleep(SETTLED)
            before = {name: _cpu(pid) for name, pid in pids.items()}
            time.sleep(SECONDS)
            for name, pid in pids.items():
                bars = (MOST_MEMORY, MOST_SHARE) if name == "monitor" else (None, None)
                spent = 100 * (_cpu(pid) - before[name]) / SECONDS
                yield Bar(f"{name}, {number} containers, memory", "MB", _resident(pid), None, bars[0])
                yield Bar(f"{name}, {number} containers, of a core", "%", spent, None, bars[1])


def _services(number: int) -> Services:
    asked = {f"p{n}": server("hello", image=IMAGE, mem_limit="16m", ports=[f"127.0.0.1:{free_port()}:8080"])
             for n in range(PUBLISHED)}  # fmt: skip
    return asked | services(number - PUBLISHED, probe=None)


def _cpu(pid: int) -> float:
    """Seconds of processor time of the process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
