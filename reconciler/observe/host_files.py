"""Mounted files of the machine, for containers that we did not create."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from reconciler.host_paths import HostPaths
from reconciler.model.files import Entry
from reconciler.model.times import instant
from reconciler.model.ways import Way
from reconciler.observe.blobs import file_id


class HostFiles:
    """`loop.ports.HostFiles` for an engine on this machine; paths that do not exist here have no content."""

    def __init__(self, paths: HostPaths | None = None) -> None:
        """`paths`: paths that an agent mounts; None if there is no agent."""
        self._paths = paths

    def ways(self, paths: Iterable[str], links: Mapping[str, str]) -> Mapping[str, Way]:
        return self._paths.ways(paths, links) if self._paths is not None else {}

    def filled(self, paths: Iterable[str], links: Mapping[str, str]) -> frozenset[str]:
        return self._paths.filled(paths, links) if self._paths is not None else frozenset()

    def holds(self, path: str, entries: Mapping[str, Entry], since: str) -> bool:
        until = instant(since) if since else float("inf")
        return all(_same(Path(path) / name if name else Path(path), entry, until) for name, entry in entries.items())


def _same(path: Path, entry: Entry, until: float) -> bool:
    """Whether the file equals the entry, and was not written after `until`: a program may know only the content of its
    start."""
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_size != entry.size:
            return False
        if found.st_mtime > until or bool(found.st_mode & stat.S_IXUSR) != (entry.mode == "100755"):
            return False
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            return file_id(file, entry.oid) == entry.oid
    except OSError:
        return False
