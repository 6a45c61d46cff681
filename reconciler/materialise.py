"""Writes files of a commit to disk, byte for byte from the blobs: no checkout, no attributes, no links."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from reconciler.model.files import Entry, Files

EXECUTABLE = "100755"
REGULAR = ("100644", EXECUTABLE)
READ_ONLY_FOLDER = 0o555


def materialise(files: Files, entries: Mapping[str, Entry], folder: Path, *, durable: bool = False) -> None:
    """Write `entries` (path below `folder` → entry of `files`) with modes 0644 and 0755, or 0444 and 0555.

    `durable`: for bytes that others will rely on; read-only and fsynced, folders included. Entries that are
    no regular files are left out. `folder` exists. OSError as the disk gives it.
    """
    for parent in sorted({(folder / path).parent for path in entries}):
        make_folders(parent, 0o755)
    for path, entry in entries.items():
        if entry.mode in REGULAR:
            mode = 0o755 if entry.mode == EXECUTABLE else 0o644
            write(folder / path, files.read(entry.path), mode & 0o555 if durable else mode, durable=durable)
    if durable:
        for directory, _, _ in os.walk(folder, topdown=False):
            os.chmod(directory, READ_ONLY_FOLDER)
            sync_folder(Path(directory))


def write(path: Path, data: bytes, mode: int, *, durable: bool) -> None:
    """Create a file that is not there yet. The mode is exact, whatever the umask."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        os.fchmod(stream.fileno(), mode)
        if durable:
            stream.flush()
            os.fsync(stream.fileno())


def make_folders(path: Path, mode: int) -> None:
    """Make a folder and those above it that are missing. The mode is exact, whatever the umask."""
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
    """Remove a file or a folder with all it holds, read-only folders too. No error when it is gone."""
    if path.is_dir() and not path.is_symlink():
        for directory, _, _ in os.walk(path):
            os.chmod(directory, 0o700)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def private_folder(parent: Path) -> Path:
    """A new folder of this process below `parent` (made where it is missing, 0700); real path, no links in it.

    What processes that are dead by now left there is removed.
    """
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for entry in parent.iterdir():
        pid = entry.name.partition("-")[0]
        if pid.isdecimal() and not _lives(int(pid)):
            remove(entry)
    return Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=parent)).resolve()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
