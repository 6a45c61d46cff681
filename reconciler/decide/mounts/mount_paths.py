"""Paths in a model: of the commit, of the stack's data folder, or of the host."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from functools import cached_property

from reconciler.decide.read.paths import SUBMODULE, content
from reconciler.decide.read.stored_forms import form_of, lost_in
from reconciler.formats.stored import Form
from reconciler.model.documents import BindGrant
from reconciler.model.files import SYMLINK, Entry, Files, below, has_content, is_folder, names_below


class CommitPaths:
    """The paths of a commit, relative to the repository's root; '.' is the root itself."""

    def __init__(self, files: Files) -> None:
        self._files = files

    @property
    def is_commit(self) -> bool:
        """False for a working folder, which can contain empty folders that git would not keep."""
        return self._files.revision is not None

    def has(self, path: str) -> bool:
        """Whether the commit has this file, or files below this folder."""
        return path == "." or path in self._files.entries or is_folder(self._files, path)

    def has_content(self, path: str) -> bool:
        """Whether there is something to mount. A folder that is kept only by a placeholder does not count."""
        return has_content(self._files, path)

    def content(self, path: str) -> list[list[str]] | None:
        """Name, mode and git's id of each file at or below `path`; None if the commit has nothing there."""
        if not self.has(path):
            return None
        return [[e.path, e.mode, e.oid] for _, e in sorted(below(self._files, path).items())]

    def names(self, path: str) -> Sequence[str]:
        """The file at `path`, or all files below that folder."""
        return (path,) if self.is_file(path) else names_below(self._files, path)

    def size(self, name: str) -> int:
        """Bytes of a file."""
        return self._files.entries[name].size

    def is_file(self, path: str) -> bool:
        return path in self._files.entries

    def text(self, path: str) -> str:
        """A file as text. If it is larger than anybody writes by hand, only the beginning."""
        return content(self._files, path).decode(errors="surrogateescape")

    def links(self, path: str) -> tuple[Entry, ...]:
        """Symlinks and submodules at, below or on the way to `path`, in order."""
        return tuple(entry for entry in self._links if _related(entry.path, path))

    def form(self, path: str) -> Form | None:
        """The form in which git holds the file instead of its content (`stored-form`); None for the content itself."""
        return form_of(self._files, path)

    def lost(self, path: str) -> list[tuple[str, Form]]:
        """Files below the folder `path` of which git holds only a pointer or ciphertext."""
        return list(lost_in(self._files, path))

    @cached_property
    def _links(self) -> tuple[Entry, ...]:
        entries = self._files.entries.values()
        return tuple(sorted((e for e in entries if e.mode in (SYMLINK, SUBMODULE)), key=lambda entry: entry.path))


def normal(path: str) -> str:
    """An absolute path without `.`, `..` and doubled slashes."""
    return posixpath.normpath("/" + path.lstrip("/"))


def inside(path: str, root: str) -> str | None:
    """`path` relative to `root` ('.' for itself), None if it lies elsewhere. Both absolute.

    A path with `..` lies nowhere: Compose has resolved relative ones, so somebody wrote an absolute path that way, and
    later users of the path may resolve it differently.
    """
    if ".." in path.split("/"):
        return None
    path, root = normal(path), normal(root)
    if path == root:
        return "."
    return path.removeprefix(root + "/") if path.startswith(root.rstrip("/") + "/") else None


def written(path: str, root: str) -> str:
    """`path` for a message, relative to `root` with `..`, because nobody knows the absolute place."""
    parent = posixpath.dirname(normal(root))
    grandparent = posixpath.dirname(parent)
    around = parent if grandparent == "/" else grandparent
    if around != "/" and inside(path, around) is not None:
        return posixpath.relpath(normal(path), normal(root))
    return path


def bind_grant(path: str, binds: Sequence[BindGrant], stack: str, service: str) -> BindGrant | None:
    """The operator's entry for mounting `path` into a service, None if there is none. Of several entries the one with
    the longest path decides, then the one that names the service, then the one that names the stack."""
    fitting = [
        grant
        for grant in binds
        if grant.stack in ("*", stack) and grant.service in ("*", service) and inside(path, grant.path) is not None
    ]
    return max(fitting, key=_nearness, default=None)


def host_path(path: str, binds: Sequence[BindGrant], stack: str, service: str) -> str:
    """The place of a path outside the commit on this machine. It uses the same normal form as `bind_grant`, so what is
    admitted is what is mapped."""
    grant = bind_grant(path, binds, stack, service)
    below = inside(path, grant.path) if grant is not None else None
    if grant is None or below is None:
        return normal(path)
    return normal(grant.host if below == "." else f"{grant.host}/{below}")


def _nearness(grant: BindGrant) -> tuple[int, bool, bool, bool, bool]:
    named = grant.service != "*", grant.stack != "*"
    return len(normal(grant.path)), *named, grant.pin is not None, not grant.read_only


def _related(link: str, path: str) -> bool:
    return path == "." or link == path or link.startswith(path + "/") or path.startswith(link + "/")
