"""Faults of a commit's paths count only if a stack mounts, builds or reads them.

A path that a disk or a report cannot hold is not among the commit's files. If no stack uses it, nothing is missing.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import replace

from reconciler.decide.mounts.mount_paths import inside
from reconciler.decide.mounts.sources import Json, Source, services_of
from reconciler.model.files import LONGEST_TOLD, ODD_PATH, told_path
from reconciler.model.outcome import Level, Violation

COLLISION = "case-collision"
JUDGED_WHERE_USED = (ODD_PATH, COLLISION)


def where_used(faults: Iterable[Violation], used: Iterable[str]) -> Iterator[Violation]:
    """The denials at, below or on the way to one of the paths `used`. For other odd paths, warnings."""
    places = frozenset(used)
    shown = frozenset(told_path(path.encode(errors="surrogateescape")) for path in places)
    for fault in faults:
        path = fault.path or ""
        if "." in places or any(_related(path, place) for place in (shown if fault.rule == ODD_PATH else places)):
            yield fault
        elif fault.rule == ODD_PATH:
            yield replace(fault, level=Level.WARN)


def used_by(sources: Iterable[Source]) -> Iterator[str]:
    """Paths of the commit that stacks need on the disk; '.' is all of it."""
    for source in sources:
        for path in _named(source.model, services_of(source).values()):
            found = inside(posixpath.normpath(path), source.root) if path.startswith("/") else None
            if found is not None:
                yield found


def _named(model: Json, services: Iterable[Json]) -> Iterator[str]:
    for kind in ("configs", "secrets"):
        for definition in (model.get(kind) or {}).values():
            yield str((definition or {}).get("file") or "")
    for service in services:
        binds = (mount for mount in service.get("volumes") or () if mount.get("type") == "bind")
        yield from (str(mount.get("source") or "") for mount in binds)
        build: Json = service.get("build") or {}
        context = str(build.get("context") or "")
        yield context
        yield posixpath.join(context, str(build.get("dockerfile") or "Dockerfile")) if build else ""
        yield from map(str, (build.get("additional_contexts") or {}).values())


def _related(path: str, place: str) -> bool:
    if len(path) == LONGEST_TOLD:
        place = place[:LONGEST_TOLD]
    return path == place or path.startswith(f"{place}/"[:LONGEST_TOLD]) or place.startswith(f"{path}/")
