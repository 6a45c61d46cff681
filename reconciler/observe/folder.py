"""The files of a working folder, as git would see them if all were committed."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from reconciler.errors import Usage
from reconciler.model.files import READ_LIMIT, Entry, TooLargeError
from reconciler.model.outcome import Level, Reason, Violation
from reconciler.observe.blobs import blob_id, file_id
from reconciler.observe.tree import REGULAR, sane

SYMLINK, SUBMODULE = "120000", "160000"
_NO_COMMIT = "0" * 40


class FolderFiles:
    """A folder's files (`model.files.Files`).

    Links are entries and are never followed; .git is left out; a folder with a .git of its own is a submodule. As in
    git, anything but files, folders and links is left out. Folders that cannot be read are left out with a warning:
    they are data of services that run as other users. Contents are read when they are needed; Usage if that fails.
    `without`: further folders that are left out, as paths below `root`.
    """

    def __init__(self, root: Path, without: frozenset[str] = frozenset()) -> None:
        self._root, self._without = root, without
        self._closed: list[str] = []
        with _readable(root):
            listed = [(os.fsencode(entry.path), entry) for entry in self._listed()]
        self._entries, refused = sane(listed)
        self._refused = (*refused, *map(_left_out, self._closed))

    def _listed(self) -> Iterable[Entry]:
        return self._walk("")

    def _walk(self, prefix: str) -> Iterator[Entry]:
        try:
            items = sorted(os.scandir(self._root / prefix), key=lambda item: item.name)
        except PermissionError:
            if not prefix:
                raise
            self._closed.append(prefix.rstrip("/"))
            return
        for item in items:
            # Somebody may have removed a listed file meanwhile.
            with suppress(FileNotFoundError):
                yield from self._below(item, prefix + item.name)

    def _below(self, item: os.DirEntry[str], path: str) -> Iterator[Entry]:
        if item.name == ".git":
            return
        status = item.stat(follow_symlinks=False)
        entry = folder_entry(self._root, path, status)
        if entry is not None:
            yield entry
        elif stat.S_ISDIR(status.st_mode) and path not in self._without:
            yield from self._walk(path + "/")

    @property
    def revision(self) -> None:
        return None

    @property
    def entries(self) -> Mapping[str, Entry]:
        return self._entries

    @property
    def refused(self) -> tuple[Violation, ...]:
        """Paths of the folder that are left out of the entries, as violations."""
        return self._refused

    def read(self, path: str, limit: int = READ_LIMIT) -> bytes:
        """The bytes of a file. KeyError if it is no regular file, TooLargeError if it has more than `limit` bytes."""
        if self._entries[path].mode not in REGULAR:
            raise KeyError(path)
        with _readable(self._root / path), _opened(self._root / path) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise TooLargeError(path, (self._root / path).stat().st_size, limit)
        return data

    def head(self, path: str, most: int) -> bytes:
        """KeyError if it is no regular file."""
        if self._entries[path].mode not in REGULAR:
            raise KeyError(path)
        with _readable(self._root / path), _opened(self._root / path) as file:
            return file.read(most)

    def link(self, path: str) -> str:
        """The target of a link. KeyError if it is no symbolic link."""
        if self._entries[path].mode in REGULAR:
            raise KeyError(path)
        with _readable(self._root / path):
            return os.readlink(self._root / path)

    def copy(self, path: str, target: BinaryIO) -> None:
        """KeyError if it is no regular file."""
        if self._entries[path].mode not in REGULAR:
            raise KeyError(path)
        with _readable(self._root / path):
            source = _opened(self._root / path)
        with source:
            shutil.copyfileobj(source, target)


class FolderEntry(Entry):
    """An entry whose id is computed when it is needed: a working folder may contain much that nobody reads."""

    _root: Path

    def __init__(self, root: Path, path: str, mode: str, size: int) -> None:
        for name, value in (("path", path), ("mode", mode), ("size", size), ("_root", root)):
            object.__setattr__(self, name, value)

    @cached_property
    def oid(self) -> str:
        if self.mode == SUBMODULE:
            return _NO_COMMIT
        file = os.path.join(self._root, self.path)  # a Path takes longer to make than the file to read
        with _readable(file):
            if self.mode == SYMLINK:
                return blob_id(os.fsencode(os.readlink(file)))
            with _opened(file) as opened:
                return file_id(opened)


def folder_entry(root: Path, path: str, status: os.stat_result) -> FolderEntry | None:
    """The entry that git would commit for a file or link; None for what it leaves out."""
    if stat.S_ISLNK(status.st_mode):
        return FolderEntry(root, path, SYMLINK, status.st_size)
    if stat.S_ISREG(status.st_mode):
        return FolderEntry(root, path, "100755" if status.st_mode & stat.S_IXUSR else "100644", status.st_size)
    if stat.S_ISDIR(status.st_mode) and os.path.lexists(root / path / ".git"):
        return FolderEntry(root, path, SUBMODULE, 0)
    return None


def _left_out(path: str) -> Violation:
    return Violation(
        Reason.FILE_MISSING,
        "unreadable",
        "the folder cannot be read and is left out",
        "tell git to ignore it where it holds data (.gitignore), or see to it that you may read it",
        path=path,
        level=Level.WARN,
    )


def _opened(path: Path | str) -> BinaryIO:
    # A listed file may have become a link or a pipe meanwhile.
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")


@contextmanager
def _readable(path: Path | str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Usage(
            Reason.USAGE_INVALID,
            f"{error.filename or path} cannot be read: {error.strerror}",
            "name a folder whose files you may read, or leave that file out of it",
        ) from error
