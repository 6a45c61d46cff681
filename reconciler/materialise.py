"""Writes files of a commit to disk, byte for byte from the blobs: no checkout, no attributes, no links."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from reconciler.model.files import Entry, Files
from reconciler.waiting import attend

EXECUTABLE = "100755"
REGULAR = ("100644", EXECUTABLE)
READ_ONLY_FOLDER = 0o555

ATTENDED = 500
"""Files after which the writer checks whether the wait must end (`waiting.attend`)."""

ONCE = 64 << 10
"""Bytes from which on equal files share one inode on the disk. Small ones are copies: they take a block each, and some
programs (cron) refuse a file with a second name."""


class Written:
    """Files that are on the disk already, for read-only trees that are written together."""

    def __init__(self) -> None:
        self._settled: dict[tuple[str, str], Path] = {}
        self._fresh: dict[tuple[str, str], Path] = {}

    def put(self, files: Files, entry: Entry, target: Path) -> None:
        """Write a regular file durably with mode 0444 or 0555, or give an equal one another name."""
        if entry.size < ONCE or not self._named(entry, target):
            put(files, entry, target, 0o555 if entry.mode == EXECUTABLE else 0o444, durable=True)
            self._fresh[(entry.oid, entry.mode)] = target

    def moved(self, old: Path, new: Path) -> None:
        """Record that the files written last, at or below `old`, are at `new` now."""
        self._settled |= {key: new / path.relative_to(old) for key, path in self._fresh.items()}
        self._fresh.clear()

    def _named(self, entry: Entry, target: Path) -> bool:
        """Give an equal file another name (a hard link). Returns whether that worked: a file system may have no hard
        links, or allow no more of them for this file."""
        key = (entry.oid, entry.mode)
        there = self._fresh.get(key) or self._settled.get(key)
        if there is None:
            return False
        try:
            os.link(there, target, follow_symlinks=False)
        except OSError as error:
            if error.errno in (errno.EMLINK, errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
                return False
            raise
        return True


def materialise(files: Files, entries: Mapping[str, Entry], folder: Path, written: Written | None = None) -> None:
    """Write `entries` (path below `folder` → entry of `files`) with modes 0644 and 0755.

    With `written`, for bytes that others rely on: read-only (0444, 0555) and fsynced, folders included. Entries that
    are no regular files are left out. `folder` exists. OSError from the disk.
    """
    for parent in sorted({(folder / path).parent for path in entries}):
        make_folders(parent, 0o755)
    for number, (path, entry) in enumerate(entries.items()):
        if number % ATTENDED == 0:
            attend()
        if entry.mode not in REGULAR:
            continue
        if written is None:
            put(files, entry, folder / path, 0o755 if entry.mode == EXECUTABLE else 0o644, durable=False)
        else:
            written.put(files, entry, folder / path)
    if written is not None:
        for directory, _, _ in os.walk(folder, topdown=False):
            os.chmod(directory, READ_ONLY_FOLDER)
            sync_folder(Path(directory))


def put(files: Files, entry: Entry, path: Path, mode: int, *, durable: bool) -> None:
    """Create a new file with an entry's bytes, which are copied in pieces.

    The mode is exact, whatever the umask.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w+b") as stream:
        files.copy(entry.path, stream)
        stream.flush()
        _finish(descriptor, mode, durable)


def write(path: Path, data: bytes, mode: int, *, durable: bool) -> None:
    """Create a new file. The mode is exact, whatever the umask."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        _finish(descriptor, mode, durable)


def _finish(descriptor: int, mode: int, durable: bool) -> None:
    os.fchmod(descriptor, mode)
    if durable:
        os.fsync(descriptor)


def make_folders(path: Path, mode: int) -> None:
    """Make a folder and its missing parents. The mode is exact, whatever the umask."""
    missing = [item for item in (path, *path.parents) if not item.exists()]
    for item in reversed(missing):
        item.mkdir()
        item.chmod(mode)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file or a folder with all its content, read-only folders too. No error if it is gone."""
    if path.is_dir() and not path.is_symlink():
        for directory, _, _ in os.walk(path):
            os.chmod(directory, 0o700)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
