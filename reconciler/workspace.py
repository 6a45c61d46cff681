"""Temporary folders of a process, and the free space of a disk."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.errors import Locked, Transient
from reconciler.formats.quantities import shown
from reconciler.materialise import remove
from reconciler.model.outcome import Reason

PREFIX = "in-use-"
"""Begins the name of every Workspace. Nothing else is removed: the state folder may be a person's folder, with a
`build` of their own in it."""

SMALL = 1 << 20
"""Bytes that are written even to a full disk: the small commit that corrects it must not wait for space."""

MOST_KEPT_FREE = 1 << 30
SHARE_KEPT_FREE = 0.05
"""Share of a disk, and bytes; the smaller of both stays free for its other users, such as databases."""


class Workspace:
    """A new folder of this process below `parent` (made if it is missing, 0700); `path` has no links in it.

    A living process holds a lock on its folder; folders of dead processes are removed. OSError from the disk.
    """

    def __init__(self, parent: Path) -> None:
        parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _alone(parent):
            _sweep(parent)
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent)).resolve()
            self._lock = _locked(self.path)

    def remove(self) -> None:
        """Remove it with all its content."""
        try:
            remove(self.path)
        finally:
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None


def sweep(parent: Path) -> None:
    """Remove what dead processes left in `parent`. An error of the disk does not prevent the start."""
    try:
        with _alone(parent):
            _sweep(parent)
    except OSError:
        return


def room(folder: Path) -> int:
    """Bytes that may still be written on the disk of `folder`, which exists; negative if it is too full already."""
    disk = os.statvfs(folder)
    kept = min(MOST_KEPT_FREE, int(disk.f_blocks * disk.f_frsize * SHARE_KEPT_FREE))
    return disk.f_bavail * disk.f_frsize - kept


def check_room(folder: Path, needed: int, what: str) -> None:
    """Raise Transient (DiskFailed) if `needed` bytes would fill the disk of `folder`. Call it before writing."""
    left = room(folder)
    if needed > max(SMALL, left):
        raise Transient(
            Reason.DISK_FAILED,
            f"{what} needs {shown(needed)} below {folder}, and {shown(max(left, 0))} may be used",
            f"make room on that disk: up to {shown(MOST_KEPT_FREE)} of it stays free for others; it is tried again",
        )


@contextmanager
def only_one(path: Path, what: str) -> Iterator[None]:
    """Within this context the process holds the lock file `path`, which is made. `what`: the work under the lock, for
    people. Locked if another process holds it; OSError if the file cannot be opened."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Locked(Reason.LOCKED, f"another process {what}", "wait until it has ended, or end it") from None
    finally:
        os.close(descriptor)


def _sweep(parent: Path) -> None:
    for entry in parent.glob(f"{PREFIX}*"):
        if entry.is_symlink():
            entry.unlink()
            continue
        lock = _locked(entry)
        if lock is not None:
            try:
                remove(entry)
            finally:
                os.close(lock)


def _locked(path: Path) -> int | None:
    """The descriptor of a locked file or folder; the lock ends with the process. None if another process has it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def _alone(parent: Path) -> Iterator[None]:
    """Within this context, nobody else makes a folder in `parent` or sweeps it."""
    descriptor = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
