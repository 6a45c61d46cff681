"""Gives all builds on the engine one common memory limit, where that is possible.

BuildKit itself has no memory limit. But with the engine's driver `cgroupfs`, all its processes are in one control group
below the engine's. With the driver `systemd` each step has a scope of its own, and no group contains them all.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

GROUP = "docker/buildkit"
GROUPS = Path("/sys/fs/cgroup")


@contextmanager
def held_to(memory: int | None, driver: str, groups: Path = GROUPS) -> Iterator[bool]:
    """Within this context, all builds together may use at most this number of bytes. Yields whether such a limit is
    possible.

    `driver`: the engine's cgroup driver; '' if the engine is not on this machine.
    """
    files = _files(groups) if memory is not None and driver == "cgroupfs" and sys.platform == "linux" else ()
    try:
        yield bool(files) and os.geteuid() == 0 and _written(files, str(memory))
    finally:
        for path, unlimited in reversed(files):
            with suppress(OSError):
                path.write_text(unlimited, "utf-8")


def _files(groups: Path) -> tuple[tuple[Path, str], ...]:
    """Files that take the limit, in order, and their content without a limit. Empty if we may not write them."""
    old, new = groups / "memory" / GROUP, groups / GROUP
    with suppress(OSError):
        if (groups / "memory").is_dir():
            old.mkdir(parents=True, exist_ok=True)
            swap = old / "memory.memsw.limit_in_bytes"
            return (old / "memory.limit_in_bytes", "-1"), *([(swap, "-1")] if swap.exists() else [])
        new.mkdir(parents=True, exist_ok=True)
        for parent in (groups, new.parent):
            (parent / "cgroup.subtree_control").write_text("+memory", "utf-8")
        return (new / "memory.max", "max"), (new / "memory.swap.max", "max")
    return ()


def _written(files: tuple[tuple[Path, str], ...], memory: str) -> bool:
    """Only the first file must be written; the second is missing if swap accounting is off."""
    try:
        files[0][0].write_text(memory, "utf-8")
    except OSError:
        return False
    for path, _ in files[1:]:
        with suppress(OSError):
            path.write_text("0" if path.name == "memory.swap.max" else memory, "utf-8")
    return True
