"""The files of a commit, read from git's objects: no checkout, no attributes, no archive."""

from __future__ import annotations

import os
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import BinaryIO, TypeVar

from reconciler.errors import Transient
from reconciler.model.files import ODD_PATH, READ_LIMIT, SYMLINK, Entry, TooLargeError, told_path
from reconciler.model.outcome import Level, Reason, Violation
from reconciler.observe.blobs import Blobs, DamagedError
from reconciler.observe.commits import malformed, read_commit
from reconciler.observe.git import Git
from reconciler.observe.signatures import NOBODY_ASKED, Signers

T = TypeVar("T")

LIST_LIMIT = 64 << 20
"""Bytes of a listing, some 500,000 files. A tree of trees of trees can name billions with a few objects."""

MOST_TOLD = 200
"""Number of bad paths that are reported; nobody reads more."""

LONGEST = 3_000
"""Bytes of a path: Linux allows 4,095, and our own folder comes before it."""

LONGEST_NAME = 255
DEEPEST = 100
"""Folders above a file."""

REGULAR = frozenset({"100644", "100755"})
_NOWHERE = frozenset({"", ".", ".."})
_GIT_FOLDERS = frozenset({".git", "git~1"})
_IGNORED_BY_SOME = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_PART = rb"(?!(?i:\.git)\.*(?:/|\Z))\.?[A-Za-z0-9_][A-Za-z0-9._-]*"
_PLAIN = re.compile(_PART + rb"(?:/" + _PART + rb")*")
_FORBIDDEN = frozenset({"Cc", "Cs", "Zl", "Zp"})
_STEERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class GitFiles:
    """A commit's files (`model.files.Files`).

    DamagedError if the repository lacks some of it. If that shows only while reading, `correct` is called once; it must
    make the repository readable again. `signers`: the signers of which one must have signed the commit. `raw`: the
    commit object, if it has been read already.
    """

    def __init__(
        self,
        git: Git,
        revision: str,
        correct: Callable[[], None] | None = None,
        signers: Signers = NOBODY_ASKED,
        raw: bytes | None = None,
    ) -> None:
        self._git, self._revision, self._correct, self._signers, self._raw = git, revision, correct, signers, raw
        self._entries, self._refused = _list(git, revision)
        self._blobs = Blobs(git)

    @property
    def revision(self) -> str:
        return self._revision

    @property
    def entries(self) -> Mapping[str, Entry]:
        return self._entries

    @property
    def refused(self) -> tuple[Violation, ...]:
        """Violations for paths that are left out of the entries, or for the whole commit."""
        return (*self._unvouched, *self._malformed, *self._refused)

    @cached_property
    def _unvouched(self) -> tuple[Violation, ...]:
        """Why the commit has no accepted signature. Computed only when it is judged, not when an admitted one is
        read."""
        return self._signers.refusals(self._git, self._revision)

    @cached_property
    def _malformed(self) -> tuple[Violation, ...]:
        raw = self._raw if self._raw is not None else read_commit(self._git, self._revision)
        return malformed(self._revision, raw)

    def read(self, path: str, limit: int = READ_LIMIT) -> bytes:
        """The bytes of a file. KeyError if it is no regular file, TooLargeError if it has more than `limit` bytes."""
        entry = self._regular(path)
        if entry.size > limit:
            raise TooLargeError(path, entry.size, limit)
        return self._corrected(entry, lambda: self._blobs.read(entry.oid, entry.size))

    def head(self, path: str, most: int) -> bytes:
        """KeyError if it is no regular file."""
        entry = self._regular(path)
        return self._corrected(entry, lambda: self._blobs.head(entry.oid, entry.size, most))

    def link(self, path: str) -> str:
        """The target of a link. KeyError if it is no symbolic link."""
        entry = self._entries[path]
        if entry.mode != SYMLINK:
            raise KeyError(path)
        return os.fsdecode(self._corrected(entry, lambda: self._blobs.read(entry.oid, entry.size)))

    def copy(self, path: str, target: BinaryIO) -> None:
        """KeyError if it is no regular file."""
        entry = self._regular(path)
        self._corrected(entry, lambda: self._blobs.copy(entry.oid, entry.size, target))

    def _regular(self, path: str) -> Entry:
        entry = self._entries[path]
        if entry.mode not in REGULAR:
            raise KeyError(path)
        return entry

    def _corrected(self, entry: Entry, read: Callable[[], T]) -> T:
        """Return what `read` returns. If the repository is damaged and can be repaired, try once more; else
        Transient."""
        try:
            return read()
        except DamagedError as first:
            damage = first
        try:
            if self._correct is not None:
                self._correct()
                self._blobs = Blobs(self._git)
                return read()
        except DamagedError as again:
            damage = again
        raise Transient(
            Reason.FETCH_FAILED,
            f"{entry.path} of commit {self._revision} cannot be read: {damage}",
            "the repository is damaged: run `git fsck` in it",
        )


def sane(entries: Iterable[tuple[bytes, Entry]]) -> tuple[dict[str, Entry], tuple[Violation, ...]]:
    """The entries that a disk and a report can hold, and a violation for each of the others.

    Takes each with its stored path.
    """
    listed = list(entries)
    twice = _twice(sorted(raw for raw, _ in listed))
    good: dict[str, Entry] = {}
    refused: list[Violation] = []
    for raw, entry in listed:
        fault = _TWICE if raw in twice else _fault(raw)
        if fault is None:
            good[entry.path] = entry
        elif len(refused) < MOST_TOLD:
            refused.append(_violation(raw, fault))
    return good, tuple(refused)


def _twice(names: Sequence[bytes]) -> frozenset[bytes]:
    """Names that occur twice, or once as a file and once as a folder. `names` are sorted."""
    again = (one for one, other in pairwise(names) if one == other)
    return frozenset(again) | frozenset(raw for raw in names if _is_folder(names, raw))


def _is_folder(names: Sequence[bytes], raw: bytes) -> bool:
    first = bisect_left(names, raw + b"/")
    return first < len(names) and names[first].startswith(raw + b"/")


def _list(git: Git, revision: str) -> tuple[dict[str, Entry], tuple[Violation, ...]]:
    done = git.run("ls-tree", "-r", "-z", "-l", "--full-tree", revision, limit=LIST_LIMIT)
    if done.cut:
        return {}, (_violation(b"", "the commit lists more files than can be read"),)
    if done.returncode < 0:
        return {}, (_violation(b"", "the commit's folders are nested deeper than git can list"),)
    if done.returncode != 0:
        raise DamagedError(f"the tree of {revision} cannot be listed")
    return sane(_entry(line) for line in done.stdout.split(b"\0")[:-1])


def _entry(line: bytes) -> tuple[bytes, Entry]:
    head, _, raw = line.partition(b"\t")
    mode, _, oid, size = head.decode("ascii").split()
    return raw, Entry(raw.decode(errors="surrogateescape"), mode, oid, int(size) if size.isdigit() else 0)


_NOT_UTF8 = "is not UTF-8; the file is left out"
_TWICE = "stands in its folder more than once"
_LONG = "is longer than file systems allow"
_DEEP = f"lies deeper than {DEEPEST} folders"
_CONTROL = "holds control characters"
_ODD = frozenset({_LONG, _DEEP, _CONTROL})
"""Mistakes that people make. Other faults are made on purpose, and are denied everywhere."""


def _fault(raw: bytes) -> str | None:
    if len(raw) <= LONGEST_NAME and _PLAIN.fullmatch(raw) and raw.count(b"/") <= DEEPEST:
        return None  # almost all names; the checks below take ten times as long
    try:
        path = raw.decode("utf-8")
    except UnicodeDecodeError:
        return _NOT_UTF8
    parts = path.split("/")
    if len(raw) > LONGEST or any(len(part) > LONGEST_NAME for part in raw.split(b"/")):
        return _LONG
    if len(parts) - 1 > DEEPEST:
        return _DEEP
    if not _NOWHERE.isdisjoint(parts):
        return "leads out of its folder"
    seen = path if path.isascii() else _IGNORED_BY_SOME.sub("", path)
    if any(part.rstrip(". ") in _GIT_FOLDERS for part in seen.casefold().split("/")):
        return "is reserved for git's own files"
    plain = path.isascii() and path.isprintable()
    if not plain and any(unicodedata.category(each) in _FORBIDDEN or each in _STEERING for each in path):
        return _CONTROL
    return None


def _violation(raw: bytes, fault: str) -> Violation:
    shown = told_path(raw)
    return Violation(
        reason=Reason.POLICY_VIOLATION,
        rule=ODD_PATH if fault in _ODD else "unsafe-path",
        message=f"the path {fault}" if raw else fault,
        hint="rename or remove it in the repository, commit and push again",
        path=shown or None,
        level=Level.WARN if fault is _NOT_UTF8 else Level.DENY,
    )
