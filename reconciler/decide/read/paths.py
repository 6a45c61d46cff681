"""Resolves paths of a commit, and finds links and submodules on them."""

from __future__ import annotations

import difflib
import posixpath
import re
import unicodedata
from itertools import islice, pairwise

from reconciler.formats.nodes import shorten
from reconciler.model.files import SYMLINK, Files, is_folder
from reconciler.model.outcome import Reason, Violation

MOST_TOLD = 200
"""Maximum of violations in one report."""

SOUGHT, COMPARED = 2000, 100
"""Number of the commit's names that are searched for one similar to a missing name, and of names of its kind that are
compared."""

SUBMODULE = "160000"

_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|git@|github\.com/|[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:|data:|oci:")
_EXAMPLE = re.compile(r"(^|[._-])(example|sample|template|dist|tmpl)([._-]|$)")
_ODD = {
    SYMLINK: ("symlink", "a symbolic link", "Replace the link by the file itself."),
    SUBMODULE: ("submodule", "a submodule", "Commit the files themselves; submodules are never fetched."),
}


def remote(value: str) -> bool:
    """Whether this names something that must be fetched (URL, git address, OCI artifact)."""
    return _REMOTE.match(value) is not None


def resolve(base: str, value: str) -> str | None:
    """A path of the commit, relative to its root (''), or None if it is absolute, remote or leads outside.

    `base`: the folder that it is relative to.
    """
    if not value or value.startswith(("/", "~")) or remote(value) or "\0" in value:
        return None
    path = posixpath.normpath(posixpath.join(base, value))
    if path == ".." or path.startswith(("../", "/")):
        return None
    return "" if path == "." else path


def folder_of(path: str) -> str:
    """The folder of a resolved path; '' is the root."""
    return posixpath.dirname(path)


def odd_parent(files: Files, path: str) -> tuple[str, str] | None:
    """(path, mode) of the first symlink or submodule on the way to `path`, itself included."""
    parts = path.split("/")
    for count in range(1, len(parts) + 1):
        entry = files.entries.get("/".join(parts[:count]))
        if entry is not None and entry.mode in _ODD:
            return entry.path, entry.mode
    return None


def is_readable(files: Files, path: str) -> bool:
    """Whether `path` (resolved) can be read as a file of this commit."""
    return path in files.entries and odd_parent(files, path) is None


def file_violation(files: Files, path: str, absent: str = "Commit the file, or correct the path.") -> Violation | None:
    """Why `path` (resolved) cannot be read as a file of this commit; None if it can.

    `absent`: the remedy if the commit has neither the file nor a similar one.
    """
    odd = odd_parent(files, path)
    if odd is not None:
        return _refused(*odd)
    if path in files.entries:
        return None
    if not path or is_folder(files, path):
        message = f"'{shorten(path) or '.'}' is a folder"
        return Violation(Reason.FILE_MISSING, "not-a-file", message, "Name a file.", path=path or None)
    message = f"'{shorten(path)}' is not in the commit"
    near = _nearest(files, path)
    hint = f"Did you mean '{near}'?" if near else absent
    return Violation(Reason.FILE_MISSING, "file-missing", message, hint, path=path)


def content(files: Files, path: str, most: int = 1 << 20) -> bytes:
    """The bytes of a file; of a file larger than `most`, only enough for the reader to see that it is too large."""
    if files.entries[path].size > most:
        return bytes(most + 1)
    return files.read(path)


def case_collisions(files: Files) -> tuple[Violation, ...]:
    """Paths that are the same if names ignore case or Unicode form (macOS); no more than a report shows.

    In the order of the folded names, paths that are equal up to some folder are neighbours, so comparing neighbours
    finds every clash.
    """
    names = sorted((_folded(path), path) for path in files.entries)
    clashes: dict[str, Violation] = {}
    for (_, one), (_, other) in pairwise(names):
        clash = _clash(one, other)
        if clash is not None and len(clashes) < MOST_TOLD:
            clashes.setdefault(clash[1], _collision(clash[1], clash[0]))
    return tuple(clashes[path] for path in sorted(clashes))


def _clash(one: str, other: str) -> tuple[str, str] | None:
    """The first difference of two paths, if it is only in case or form: both up to there, in order."""
    if one.isascii() and one.islower() and other.isascii() and other.islower():
        return None
    ours, theirs = one.split("/"), other.split("/")
    for depth, (own, their) in enumerate(zip(ours, theirs, strict=False), 1):
        if own != their:
            if _folded(own) != _folded(their):
                return None
            first, second = sorted(("/".join(ours[:depth]), "/".join(theirs[:depth])))
            return first, second
    return None


def _folded(path: str) -> str:
    """Folders end with the smallest character, so that the files of one folder are sorted together."""
    plain = path if path.isascii() and path.islower() else unicodedata.normalize("NFC", path).casefold()
    return plain.replace("/", "\0")


def _collision(path: str, other: str) -> Violation:
    message = f"'{shorten(path)}' and '{shorten(other)}' differ only in case or Unicode form"
    hint = "Rename one of them: some file systems cannot hold both."
    return Violation(Reason.POLICY_VIOLATION, "case-collision", message, hint, path=path)


def _refused(path: str, mode: str) -> Violation:
    rule, what, hint = _ODD[mode]
    return Violation(Reason.POLICY_VIOLATION, rule, f"'{shorten(path)}' is {what}", hint, path=path)


def _nearest(files: Files, path: str) -> str:
    """The file of the same kind (`_kind`) whose path is most similar to `path`, or ''.

    Compares only a few names: a commit may name thousands of files that it does not have.
    """
    kind = _kind(path)
    if kind == "alone":
        return ""
    name = posixpath.basename(path)
    alike = (other for other in files.entries if other == name or other.endswith(f"/{name}"))
    same = (other for other in islice(files.entries, SOUGHT) if _kind(other) == kind)
    names = list(islice(alike, COMPARED)) or list(islice(same, COMPARED))
    near = difflib.get_close_matches(path, names, n=1, cutoff=0.5)
    return near[0] if near else ""


def _kind(path: str) -> str:
    """The kind of a file, by its name. A `.env` belongs to its own folder: a `.env` elsewhere is never suggested."""
    name = posixpath.basename(path).lower()
    stem, dot, ending = name.rpartition(".")
    if name == ".env" or _EXAMPLE.search(name):
        return "alone"
    if ending == "env" or name.startswith(".env."):
        return "env"
    if ending in ("yaml", "yml"):
        return "yaml"
    if "dockerfile" in name or "containerfile" in name:
        return "dockerfile"
    return ending if dot and stem else ""
