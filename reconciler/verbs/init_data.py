"""Folders that containers write to: data, which is not part of a commit."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from reconciler.decide.mounts.sources import inside
from reconciler.loop.prepare import Prepared
from reconciler.model.observed import Container
from reconciler.model.times import instant

Json = Mapping[str, Any]

MOST_LOOKED_AT = 1000
"""Number of files that are read to tell what a folder is."""


def data_folders(
    folder: Path, base: str, tracked: frozenset[str] | None, prepared: Prepared, containers: Sequence[Container]
) -> list[str]:
    """Folders below `folder` that containers write to and that no commit contains, relative to it.

    `base`: path of `folder` in the repository. `tracked`: files in git; None if there is no repository yet.
    """
    found = set()
    for source in prepared.sources:
        since = first_start(containers, source.document.name)
        for path in _written(source.model, source.root):
            own = posixpath.relpath(path, base or ".")
            if not own.startswith("..") and is_data(folder, path, folder / own, tracked, since):
                found.add(own)
    return sorted(found)


def is_data(root: Path, path: str, folder: Path, tracked: frozenset[str] | None, since: float) -> bool:
    """Whether a folder is data. If git has files of the project: a folder without any of them. Else: a folder that is
    missing, empty or unreadable, or has a file of another user or one newer than `since`, the project's first start."""
    if tracked:
        return not any(item.startswith(f"{path}/") for item in tracked)
    if not folder.is_dir():
        return not folder.exists()
    owner = root.stat().st_uid
    try:
        items = [folder.stat(), *(item.lstat() for item in islice(folder.rglob("*"), MOST_LOOKED_AT))]
    except PermissionError:
        return True
    return len(items) == 1 or any(item.st_uid != owner or item.st_mtime > since for item in items)


def first_start(containers: Sequence[Container], stack: str) -> float:
    """The earliest start of a stack's running containers (seconds of the Unix epoch); infinity if none runs."""
    starts = [item.started_at for item in containers if item.stack == stack and item.running]
    return min((instant(start) for start in starts if start), default=float("inf"))


def _written(model: Json, root: str) -> Iterable[str]:
    """Relative folders that services mount writable and that are no build context."""
    services = (model.get("services") or {}).values()
    built = [inside(item["build"]["context"], root) for item in services if item.get("build")]
    for path in _mounted(model, root):
        if not any(path == context or path.startswith(f"{context}/") for context in built):
            yield path


def _mounted(model: Json, root: str) -> Iterable[str]:
    for service in (model.get("services") or {}).values():
        for mount in service.get("volumes") or ():
            path = inside(mount.get("source") or "/", root)
            if mount["type"] == "bind" and not mount.get("read_only") and not path.startswith("/") and path != ".":
                yield path
