"""Memory and processor use of running containers and of the machine."""

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
    """Container's id → its use, for those that run. Away if the engine does not answer.

    `address`: the engine's. `stats`: reads one container, for an engine without a socket on this machine.
    """
    found = {}
    for container in containers:
        known, answer = plain_stats(address, container)
        usage = read(answer if known else stats(container))
        if usage is not None:
            found[container] = usage
    return found


def read(stats: Mapping[str, Any] | None) -> Usage | None:
    """The use of a container; None if it does not run, or the engine does not measure it."""
    memory = working_set(stats or {})
    cpu = (((stats or {}).get("cpu_stats") or {}).get("cpu_usage") or {}).get("total_usage") or 0
    return Usage(memory, cpu / NANOSECONDS) if memory else None


def machine(places: Mapping[str, str]) -> Machine:
    """The machine's use. `places`: name → folder, whose disks are shown; a folder that does not exist is left out. The
    processors' use is that since the last call."""
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return Machine(
        psutil.cpu_percent(None) / 100, memory.total, memory.available, swap.total, swap.used, tuple(_disks(places))
    )


def _disks(places: Mapping[str, str]) -> Iterable[Disk]:
    """The disks of the folders, each once."""
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
