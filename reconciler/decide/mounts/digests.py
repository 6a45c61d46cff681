"""Names of content-addressed trees: the same bytes and execute bits have the same name everywhere."""

from __future__ import annotations

import hashlib
import json
import weakref

from reconciler.model.files import SYMLINK, Entry, Files, below

REGULAR = ("100644", "100755")
EXECUTABLE = "100755"
_BITS = {EXECUTABLE: "x", SYMLINK: "l"}


def tree_digest(files: Files, path: str) -> str:
    """Digest (sha256, hex) of a file or folder of a commit: relative paths, execute bits, contents, links as links.

    KeyError if the commit has nothing at `path`. ValueError if a submodule lies in it; admission rejects those earlier,
    with their place. Symbolic links are only in trees for builds.
    """
    global _last
    if _last is None or _last[0]() is not files:
        _last = (weakref.ref(files), {})
    known = _last[1]
    if path not in known:
        known[path] = _tree_digest(files, path)
    return known[path]


_last: tuple[weakref.ref[Files], dict[str, str]] | None = None
"""Cached for the last commit: a thousand services may mount one large folder."""


def _tree_digest(files: Files, path: str) -> str:
    entries = below(files, path)
    if not entries:
        raise KeyError(path)
    digest = hashlib.sha256(b"tree 1\0")
    for relative in sorted(entries):
        digest.update(_line(relative, entries[relative]))
    return digest.hexdigest()


def content_digest(data: bytes) -> str:
    """Digest (sha256, hex) of a file's bytes."""
    return hashlib.sha256(data).hexdigest()


def digest(value: object) -> str:
    """sha256 (hex) of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _line(relative: str, entry: Entry) -> bytes:
    if entry.mode not in (*REGULAR, SYMLINK):
        raise ValueError(f"{entry.path} is not a regular file (mode {entry.mode})")
    bit = _BITS.get(entry.mode, "-")
    return f"{bit} {entry.oid} {relative}".encode() + b"\0"
