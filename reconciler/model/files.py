"""A commit and its files, in whatever form they are stored."""

from __future__ import annotations

import posixpath
import weakref
from bisect import bisect_left
from collections import ChainMap
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import BinaryIO, Protocol, cast

from reconciler.model.outcome import Violation
from reconciler.values import dataclass

READ_LIMIT = 16 << 20
"""Most bytes of a file that `Files.read` returns by default."""


SYMLINK = "120000"
"""Git's mode of a symbolic link."""

ODD_PATH = "odd-path"
"""Rule for paths that a disk cannot hold, or that cannot be named as they are; they count only if something uses them.
"""

LONGEST_TOLD = 300
"""Characters of such a path that are shown."""


def told_path(raw: bytes) -> str:
    """An odd path in a form for messages: as ASCII, cut off."""
    text = raw.decode("utf-8", errors="backslashreplace")
    return text.encode("unicode_escape").decode("ascii")[:LONGEST_TOLD]


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit on the watched branch, by its full sha."""

    sha: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a commit. `mode` is git's octal text: 100644, 100755, 120000 (symlink), 160000 (submodule).

    `oid` identifies the content: git's blob id; for working folders it is computed in the same way.
    """

    path: str
    mode: str
    oid: str
    size: int


class Files(Protocol):
    """The files of one commit (or folder). Paths are '/'-separated, relative to the repository's root."""

    @property
    def revision(self) -> str | None:
        """Full sha, or None for a working folder."""

    @property
    def entries(self) -> Mapping[str, Entry]:
        """Every path that is not a folder, symlinks and submodules included."""

    @property
    def refused(self) -> tuple[Violation, ...]:
        """Violations of paths themselves; such paths are not among the entries."""

    def read(self, path: str, limit: int = READ_LIMIT) -> bytes:
        """The bytes of a regular file. KeyError if there is none, TooLargeError if it has more than `limit`."""

    def head(self, path: str, most: int) -> bytes:
        """The first `most` bytes of a regular file of any size. KeyError if there is none."""

    def link(self, path: str) -> str:
        """The target of a symbolic link, as it was written. KeyError if there is none."""

    def copy(self, path: str, target: BinaryIO) -> None:
        """Write the bytes of a regular file to an empty file, in pieces, so that a large one needs no memory. KeyError
        if there is none; OSError from the disk."""


class Proposed:
    """`files` with `texts` (path → text) over them."""

    def __init__(self, files: Files, texts: Mapping[str, str]) -> None:
        self._files = files
        self._texts = {path: text.encode() for path, text in texts.items()}

    @property
    def revision(self) -> str | None:
        return self._files.revision

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        """Those of a working folder are only looked up when they are needed."""
        new = {path: Entry(path, "100644", "", len(data)) for path, data in self._texts.items()}
        return ChainMap(new, cast("dict[str, Entry]", self._files.entries))

    @property
    def refused(self) -> tuple[Violation, ...]:
        return self._files.refused

    def read(self, path: str, limit: int = READ_LIMIT) -> bytes:
        return self._texts[path] if path in self._texts else self._files.read(path, limit)

    def head(self, path: str, most: int) -> bytes:
        return self._texts[path][:most] if path in self._texts else self._files.head(path, most)

    def link(self, path: str) -> str:
        return self._files.link(path)

    def copy(self, path: str, target: BinaryIO) -> None:
        target.write(self.read(path))


class TooLargeError(ValueError):
    """A file is larger than the reader accepts. Sizes in bytes; `Entry.size` tells the size before reading."""

    def __init__(self, path: str, size: int, limit: int) -> None:
        super().__init__(f"{path} has {size} bytes, more than {limit}")
        self.path, self.size, self.limit = path, size, limit


PLACEHOLDERS = frozenset({".gitkeep", ".gitignore", ".keep"})
"""Files that people put into an empty folder so that git keeps it."""


def has_content(files: Files, path: str) -> bool:
    """Whether the commit has something to mount at `path`: a file, or a folder with more than placeholders."""
    if path in files.entries:
        return True
    return any(posixpath.basename(name) not in PLACEHOLDERS for name in names_below(files, path))


def below(files: Files, path: str) -> dict[str, Entry]:
    """The entries at `path`: relative path → entry.

    A single file has the key ''. The path '' or '.' is the whole repository. Empty if the commit has nothing there (git
    knows no empty folders).
    """
    entries = files.entries
    if path in entries:
        return {"": entries[path]}
    start = 0 if path in ("", ".") else len(path) + 1
    # Only the needed entries are looked up: a working folder computes an entry's id then.
    return {name[start:]: entries[name] for name in names_below(files, path)}


def names_below(files: Files, path: str) -> Sequence[str]:
    """The paths in the folder `path` ('' or '.' is the whole repository), sorted; cheap if they are a few of many."""
    names = _in_order(files)
    if path in ("", "."):
        return names
    # '0' follows '/' in the order: everything in the folder is between the two.
    return names[bisect_left(names, path + "/") : bisect_left(names, path + "0")]


def is_among(names: Sequence[str], path: str) -> bool:
    """Whether one of `names`, which are sorted, is `path` or lies in it."""
    first = bisect_left(names, path)
    if first < len(names) and names[first] == path:
        return True
    inside = bisect_left(names, path + "/")
    return inside < len(names) and names[inside].startswith(path + "/")


def is_folder(files: Files, path: str) -> bool:
    """Whether something lies in the folder `path` ('' or '.' is the whole repository)."""
    names = _in_order(files)
    if path in ("", "."):
        return bool(names)
    first = bisect_left(names, path + "/")
    return first < len(names) and names[first].startswith(path + "/")


_last: tuple[weakref.ref[Files], Sequence[str]] | None = None


def _in_order(files: Files) -> Sequence[str]:
    """The names, sorted once, because a commit may be asked for thousands of folders. Its files never change."""
    global _last
    if _last is None or _last[0]() is not files:
        _last = (weakref.ref(files, _forget), sorted(files.entries))
    return _last[1]


def _forget(gone: weakref.ref[Files]) -> None:
    global _last
    if _last is not None and _last[0] is gone:
        _last = None
