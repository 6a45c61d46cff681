"""Finds data that a service equal to root reads and another service could have written. Pure.

A pin (`policies/pins.py`) counts who writes where its service reads in the same commit. Data from another commit is
judged here: when the service starts to read it, and also when another service starts to write it, because a rollback
starts the pinned service again without a question.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from reconciler.decide.admit.nesting import is_writable
from reconciler.decide.admit.policies.pins import JUDGED
from reconciler.decide.admit.policies.writers import OF_THE_HOST
from reconciler.decide.mounts.sources import Json, Places
from reconciler.formats.grants import absolute, meets
from reconciler.model.desired import DesiredState, Service
from reconciler.model.documents import Permissions
from reconciler.model.observed import ObservedState


def read_anew(
    desired: DesiredState, base: DesiredState | None, observed: ObservedState, permissions: Permissions, places: Places
) -> Iterator[tuple[Service, str]]:
    """(pinned service, volume or data folder) that it does not read with the same rights in `base`, last good."""
    before = base.services() if base else {}
    for service in desired.services().values():
        rights = _rights(service.config, places)
        if rights and _is_pinned(service, permissions):
            old = before.get(service.key)
            known = {mount.source for item in observed.of(*service.key) for mount in item.mounts}
            if old is not None:
                known = set(_sources(old, places)) if _rights(old.config, places) == rights else set()
            found = dict.fromkeys(item for item in _sources(service, places) if _is_own(item, places))
            yield from ((service, item) for item in found if item not in known)


def written_behind(
    desired: DesiredState, base: DesiredState | None, permissions: Permissions, places: Places
) -> Iterator[tuple[Service, Service, str]]:
    """(writer, pinned service of `base`, place): places that the writer can write and the pinned service reads, if this
    commit drops the pinned service or changes its rights. With the same rights its pin counts the writer."""
    before, now = base.services() if base else {}, desired.services()
    for pinned in before.values():
        rights, new = _rights(pinned.config, places), now.get(pinned.key)
        same = new is not None and _rights(new.config, places) == rights
        if not rights or same or not _is_pinned(pinned, permissions):
            continue
        read = [item for item in _sources(pinned, places) if absolute(item) not in OF_THE_HOST]
        for writer in now.values():
            known = before.get(writer.key)
            if writer.key != pinned.key and known is not None and known.spec == writer.spec:
                continue
            for item in dict.fromkeys(_sources(writer, places, written=True)):
                if any(item == one or (one[:1] == item[:1] == "/" and meets(one, item)) for one in read):
                    yield writer, pinned, item


def questioned(desired: DesiredState, places: Places) -> Collection[str]:
    """Data folders for which the caller must tell whether they are empty."""
    found = {item for service in desired.services().values() for item in _sources(service, places)}
    return {item for item in found if item.startswith(f"{places.data}/")}


def _is_pinned(service: Service, permissions: Permissions) -> bool:
    return any(stack in ("*", service.stack) and name in ("*", service.name) for stack, name in permissions.pinned)


def _rights(config: Json, places: Places) -> dict[str, Any]:
    """Rights of a service beyond an ordinary one. Empty: none."""
    found = {key: config[key] for key in sorted(JUDGED) if config.get(key)}
    paths = [
        [mount["source"], is_writable(mount)]
        for mount in config.get("volumes") or ()
        if mount["type"] == "bind" and not _is_own(mount["source"], places) and not _is_file(mount["source"], places)
    ]
    return {**found, "paths": sorted(paths)} if paths else found


def _sources(service: Service, places: Places, *, written: bool = False) -> Iterator[str]:
    """Mounts of a service, without files of the commit and secrets: volumes by name, others by path."""
    for mount in service.config.get("volumes") or ():
        source = str(mount.get("source") or "")
        if source and not _is_file(source, places) and (is_writable(mount) or not written):
            yield source


def _is_own(source: str, places: Places) -> bool:
    """Whether it is a volume or a data folder, and not a path that an operator granted."""
    return not source.startswith("/") or source.startswith(f"{places.data}/")


def _is_file(source: str, places: Places) -> bool:
    return source.startswith(f"{places.trees}/") or bool(places.secrets and source.startswith(f"{places.secrets}/"))
