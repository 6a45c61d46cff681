"""What running containers and the machine use now."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import psutil

from reconciler.engine import plain_stats
from reconciler.model.measures import Disk, Machine, Usage
from reconciler.observe.containers import working_set

NANOSECONDS = 10**9


def usage_of(address: str, containers: Iterable[str], stats: Callable[[str], Mapping[str, Any]]) -> dict[str, Usage]:
    """Container's id → what it uses, for those that run. Away when the engine does not answer.

    `address`: the engine's. `stats`: one container's, for an engine that is not reached by a socket of this machine.
    """
    found = {}
    for container in containers:
        known, answer = plain_stats(address, container)
        usage = read(answer if known else stats(container))
        if usage is not None:
            found[container] = usage
    return found


def read(stats: Mapping[str, Any] | None) -> Usage | None:
    """None of a container that does not run, or of which the engine tells nothing."""
    memory = working_set(stats or {})
    cpu = (((stats or {}).get("cpu_stats") or {}).get("cpu_usage") or {}).get("total_usage") or 0
    return Usage(memory, cpu / NANOSECONDS) if memory else None


def machine(places: Mapping[str, str]) -> Machine:
    """`places`: what lies where, for disks; a folder that does not exist is left out."""
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return Machine(
        psutil.cpu_percent(None) / 100, memory.total, memory.available, swap.total, swap.used, tuple(_disks(places))
    )


def _disks(places: Mapping[str, str]) -> Iterable[Disk]:
    """Each once."""
    found: dict[int, Disk] = {}
    for what, path in places.items():
        try:
            device, usage = os.stat(path).st_dev, shutil.disk_usage(path)
        except OSError:
            continue
        known = found.get(device)
        holds = (*known.holds, what) if known else (what,)
        found[device] = Disk(known.mount if known else _mount(path), usage.total, usage.free, holds)
    return found.values()


def _mount(path: str) -> str:
    path = os.path.realpath(path)
    while not os.path.ismount(path):
        path = os.path.dirname(path)
    return path
