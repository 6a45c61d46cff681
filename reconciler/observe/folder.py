"""The files of a working folder, seen as git would see them if all were committed."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from reconciler.errors import Usage
from reconciler.model.files import READ_LIMIT, Entry, TooLargeError
from reconciler.model.outcome import Reason, Violation
from reconciler.observe.blobs import blob_id, file_id
from reconciler.observe.tree import REGULAR, sane

_NO_COMMIT = "0" * 40


class FolderFiles:
    """A folder's files (`model.files.Files`).

    Links are entries, never followed; .git is left out; a folder with a .git of its own is a submodule; what is
    neither file, folder nor link is left out too, as git does. Contents are read when they are asked for. Usage when
    something in the folder cannot be read.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        with _readable(root):
            listed = [(os.fsencode(entry.path), entry) for entry in self._listed(root)]
        entries, self._refused = sane(listed)
        self._entries = _Hashed(root, entries)

    def _listed(self, root: Path) -> Iterable[Entry]:
        return _walk(root, "")

    @property
    def revision(self) -> None:
        return None

    @property
    def entries(self) -> Mapping[str, Entry]:
        return self._entries

    @property
    def refused(self) -> tuple[Violation, ...]:
        """What stands in the folder and is not taken: such paths are not among the entries."""
        return self._refused

    def read(self, path: str, limit: int = READ_LIMIT) -> bytes:
        """KeyError where there is no regular file, TooLargeError beyond `limit` bytes."""
        if self._entries.mode(path) not in REGULAR:
            raise KeyError(path)
        with _readable(self._root / path), _opened(self._root / path) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise TooLargeError(path, (self._root / path).stat().st_size, limit)
        return data


    def copy(self, path: str, target: BinaryIO) -> None:
        """KeyError where there is no regular file."""
        if self._entries.mode(path) not in REGULAR:
            raise KeyError(path)
        with _readable(self._root / path):
            source = _opened(self._root / path)
        with source:
            shutil.copyfileobj(source, target)


class _Hashed(Mapping[str, Entry]):
    """Entries whose ids are computed when they are asked for: a working folder may hold much that nobody reads."""

    def __init__(self, root: Path, entries: Mapping[str, Entry]) -> None:
        self._root, self._bare = root, entries
        self._known: dict[str, Entry] = {}

    def __getitem__(self, path: str) -> Entry:
        if path not in self._known:
            entry = self._bare[path]
            self._known[path] = entry if entry.oid else replace(entry, oid=self._id(entry))
        return self._known[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._bare)

    def __len__(self) -> int:
        return len(self._bare)

    def __contains__(self, path: object) -> bool:
        return path in self._bare

    def mode(self, path: str) -> str:
        return self._bare[path].mode

    def _id(self, entry: Entry) -> str:
        path = self._root / entry.path
        with _readable(path):
            if entry.mode == "120000":
                return blob_id(os.fsencode(os.readlink(path)))
            with _opened(path) as file:
                return file_id(file)


def _walk(folder: Path, prefix: str) -> Iterator[Entry]:
    with os.scandir(folder) as items:
        for item in sorted(items, key=lambda item: item.name):
            if item.name != ".git":
                # People and programs work here: what has gone since it was listed is not there.
                with suppress(FileNotFoundError):
                    yield from _entries(item, prefix + item.name)


def _entries(item: os.DirEntry[str], path: str) -> Iterator[Entry]:
    status = item.stat(follow_symlinks=False)
    if stat.S_ISLNK(status.st_mode):
        yield Entry(path, "120000", "", status.st_size)
    elif stat.S_ISREG(status.st_mode):
        yield Entry(path, "100755" if status.st_mode & stat.S_IXUSR else "100644", "", status.st_size)
    elif stat.S_ISDIR(status.st_mode) and os.path.lexists(os.path.join(item.path, ".git")):
        yield Entry(path, "160000", _NO_COMMIT, 0)
    elif stat.S_ISDIR(status.st_mode):
        yield from _walk(Path(item.path), path + "/")


def _opened(path: Path) -> BinaryIO:
    # What was a file while listing may be a link or a pipe by now.
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Usage(
            Reason.USAGE_INVALID,
            f"{error.filename or path} cannot be read: {error.strerror}",
            "name a folder whose files you may read, or leave that file out of it",
        ) from error
