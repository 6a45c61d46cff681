"""What services that are equal to root read, and others could have written. Pure.

A pin (`policies/pins.py`) counts who writes where its service reads in the same commit. What another commit leaves
there is looked at here: when the service comes to read it, and already when somebody else comes to write it, for a
rollback starts the service again without a question.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from reconciler.decide.admit.nesting import is_writable
from reconciler.decide.admit.policies.pins import JUDGED, OF_THE_HOST
from reconciler.decide.mounts.sources import Json, Places
from reconciler.formats.grants import absolute, meets
from reconciler.model.desired import DesiredState, Service
from reconciler.model.documents import Permissions
from reconciler.model.observed import ObservedState


def read_anew(
    desired: DesiredState, base: DesiredState | None, observed: ObservedState, permissions: Permissions, places: Places
) -> Iterator[tuple[Service, str]]:
    """(pinned service, volume or data folder) that it has not read with the same rights in `base`, last good."""
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
    """(writer, pinned service of `base`, place): what a writer could leave where the other one reads, which itself is
    away in this commit or has other rights. Where it has the same, its pin counts the writer."""
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
    """Data folders of which has to be known whether something is in them."""
    found = {item for service in desired.services().values() for item in _sources(service, places)}
    return {item for item in found if item.startswith(f"{places.data}/")}


def _is_pinned(service: Service, permissions: Permissions) -> bool:
    return any(stack in ("*", service.stack) and name in ("*", service.name) for stack, name in permissions.pinned)


def _rights(config: Json, places: Places) -> dict[str, Any]:
    """What a service has beyond an ordinary one. Empty: nothing."""
    found = {key: config[key] for key in sorted(JUDGED) if config.get(key)}
    paths = [
        [mount["source"], is_writable(mount)]
        for mount in config.get("volumes") or ()
        if mount["type"] == "bind" and not _is_own(mount["source"], places) and not _is_file(mount["source"], places)
    ]
    return {**found, "paths": sorted(paths)} if paths else found


def _sources(service: Service, places: Places, *, written: bool = False) -> Iterator[str]:
    """What a service mounts but for files of the commit and secrets: volumes by name, the rest by path."""
    for mount in service.config.get("volumes") or ():
        source = str(mount.get("source") or "")
        if source and not _is_file(source, places) and (is_writable(mount) or not written):
            yield source


def _is_own(source: str, places: Places) -> bool:
    """Whether it is a volume or a folder of data: what no operator has chosen."""
    return not source.startswith("/") or source.startswith(f"{places.data}/")


def _is_file(source: str, places: Places) -> bool:
    return source.startswith(f"{places.trees}/") or bool(places.secrets and source.startswith(f"{places.secrets}/"))
