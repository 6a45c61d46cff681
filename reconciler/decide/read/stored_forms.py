"""Finds files of a commit that are stored in another form than their content."""

from __future__ import annotations

import posixpath
import weakref
from collections.abc import Iterator

from reconciler.decide.read.paths import content
from reconciler.formats.globs import GitFilters
from reconciler.formats.nodes import shorten
from reconciler.formats.stored import HEAD, LARGEST, Form, by_content, by_filter, by_head
from reconciler.model.files import Files, names_below
from reconciler.model.outcome import Reason, Violation

LOST = "stored-form"
_ENV = (
    "Put its values into <secrets_dir>/{}.env on the host and name them in `environment` (NAME: ${{NAME}}), or commit "
    "it in plain text if nothing in it is secret."
)

SMALL = 200
"""Number of files in a folder up to which the beginning of each is read; in larger folders only files with the size of
a pointer, and files that git's attributes name."""


_last: tuple[weakref.ref[Files], GitFilters] | None = None


def filters(files: Files) -> GitFilters:
    """The rules of the commit's .gitattributes."""
    global _last
    if _last is None or _last[0]() is not files:
        _last = (weakref.ref(files), _filters(files))
    return _last[1]


def _filters(files: Files) -> GitFilters:
    named = [path for path in files.entries if posixpath.basename(path) == ".gitattributes"]
    named.sort(key=lambda path: path.count("/"))
    found = [path for path in named if files.entries[path].mode.startswith("100")]
    texts = (content(files, path).decode(errors="surrogateescape") for path in found)
    return GitFilters((posixpath.dirname(path), text) for path, text in zip(found, texts, strict=True))


def form_of(files: Files, path: str) -> Form | None:
    """The form of one file, SOPS included."""
    entry = files.entries[path]
    if not entry.mode.startswith("100"):
        return None
    return _by_start(files, path) or (by_content(files.read(path)) if entry.size <= LARGEST else None)


def unreadable(files: Files, path: str, *, env: str = "") -> Violation | None:
    """Why Compose cannot use a file that it reads in. `env`: the stack whose env file it is."""
    form = form_of(files, path)
    if form is None:
        return None
    hint = _ENV.format(env) if env else "Commit it in plain text; what is secret in it comes from the host by ${NAME}."
    return Violation(Reason.POLICY_VIOLATION, LOST, f"'{shorten(path)}' is {form.what}", hint, path, 1, 1)


def lost_in(files: Files, folder: str) -> Iterator[tuple[str, Form]]:
    """Files below a folder whose content a container cannot restore from the stored form."""
    names = names_below(files, folder)
    for name in names:
        entry = files.entries[name]
        looked_at = len(names) <= SMALL or entry.size < HEAD or filters(files).of(name)
        form = _by_start(files, name) if looked_at and entry.mode.startswith("100") else None
        if form is not None and form.lost:
            yield name, form


def _by_start(files: Files, path: str) -> Form | None:
    if not files.entries[path].size:
        return None  # git stores an empty file as it is
    filtered = filters(files).of(path)
    found = by_head(files.head(path, HEAD), filtered)
    # A working folder has the content even if git stores another form.
    return by_filter(filtered) if found is None and files.revision is None else found
