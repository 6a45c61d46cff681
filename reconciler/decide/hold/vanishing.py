"""Finds data that a commit would hide from a service. The data stay, but the service would start with an empty volume
or folder.

It compares the present mounts of a service's containers (or those of last good, if the containers are gone) with the
commit's mounts at the same place. A new service is compared with the removed ones that it looks like.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping

from reconciler.decide.mounts.sources import Places
from reconciler.formats.grants import meets
from reconciler.model.desired import DesiredState, Service, ServiceKey
from reconciler.model.images import ImageDefaults, familiar
from reconciler.model.observed import Mount, ObservedState, is_anonymous

LIVE = ("volume", "bind")


def questioned(
    desired: DesiredState, base: DesiredState | None, observed: ObservedState, places: Places
) -> tuple[str, ...]:
    """Data folders for which `vanishing` needs to know whether they are empty."""
    now = {mount.source for item in observed.containers for mount in item.mounts}
    states = [state for state in (desired, base) if state is not None]
    asked = {source for state in states for service in state.services().values() for source in sources(service)}
    return tuple(sorted(path for path in now | asked if path.startswith(f"{places.data}/")))


def dropped(
    desired: DesiredState, base: DesiredState | None, observed: ObservedState
) -> Iterator[tuple[Service, str, Mount]]:
    """(service, target, mount): mounts of a service at whose target the commit mounts nothing."""
    for service in desired.services().values():
        targets = _targets(service)
        for target, old in _mounted(service.key, base, observed).items():
            if target not in targets and not is_anonymous(old.source):
                yield service, target, old


def vanishing(
    desired: DesiredState,
    base: DesiredState | None,
    observed: ObservedState,
    places: Places,
    filled: Collection[str],
    links: Mapping[str, str],
    images: Mapping[str, ImageDefaults],
    unproven: Collection[str],
) -> Iterator[str]:
    """One sentence for each place. `base`: last good. `filled`: data folders with content.

    `links`: data folders of adopted projects → their targets; the mount stays the same. `images`: known facts about the
    services' images, by id. `unproven`: volumes and data folders that no good commit has used.
    """
    paths = {
        tree.digest: tree.path or "a config or secret" for state in (base, desired) if state for tree in state.trees
    }
    used = {source for service in desired.services().values() for source in sources(service)}
    for service, target, mount in dropped(desired, base, observed):
        empty = [path for path in _declared(service, observed, images) if meets(path, target)]
        if empty and mount.source not in used and _has_data(mount, observed, filled, places):
            where = f"{service.stack}/{service.name} at {target}"
            what = f"the image makes an empty volume at {empty[0]}"
            yield f"{where}: {what}, and the data are in {mount.source}, which nothing would use any more"
    yield from _renamed(desired, base, observed, places, filled, unproven, used)
    for service in desired.services().values():
        now = _mounted(service.key, base, observed)
        for target, what in _passing(service):
            old = now.get(posixpath.normpath(target))
            left = old if old and not is_anonymous(old.source) and old.source not in used else None
            if left and _has_data(left, observed, filled, places):
                where = f"{service.stack}/{service.name} at {target}"
                yield f"{where}: {what} is empty, and the data are in {left.source}, which nothing would use any more"
        for mount in service.config.get("volumes") or ():
            old = now.get(posixpath.normpath(mount["target"]))
            source = str(mount.get("source") or "")
            same = old is not None and old.source in (source, links.get(source))
            if old is None or not source or same or mount["type"] not in LIVE:
                continue
            where = f"{service.stack}/{service.name} at {mount['target']}"
            if source.startswith(f"{places.trees}/"):
                unused = old.kind == "volume" and old.source not in used
                if old.source in filled or (unused and _has_data(old, observed, filled, places)):
                    path = paths[posixpath.basename(source)]
                    yield f"{where}: the files of {path} in the commit would hide the data in {old.source}"
            elif not _is_empty(mount, observed, filled, places, unproven):
                continue
            elif mount["type"] == "bind" and old.source.startswith(f"{places.trees}/"):
                path = paths.get(posixpath.basename(old.source), "a file of an earlier commit")
                asked = source.removeprefix(f"{places.data}/{service.stack}/")
                gone = f"{asked} is no longer in the commit" if asked == path else f"{asked} is not in the commit"
                yield f"{where}: {gone}, and an empty folder would take the place of {path}"
            elif old.source not in used and _has_data(old, observed, filled, places):
                name = "a volume without a name" if is_anonymous(old.source) else old.source
                there = source in observed.volumes or source in filled
                what = "has nothing that a good commit has written" if there else "is empty"
                yield f"{where}: {source} {what}, and the data are in {name}, which nothing would use any more"


def _renamed(
    desired: DesiredState,
    base: DesiredState | None,
    observed: ObservedState,
    places: Places,
    filled: Collection[str],
    unproven: Collection[str],
    used: Collection[str],
) -> Iterator[str]:
    """New services that look like removed ones under another name, or in another stack: they have the same name or the
    same image, and something empty at the same target."""
    now, was = desired.services(), base.services() if base else {}
    gone = sorted({*was, *((item.stack, item.service) for item in observed.containers)} - now.keys())
    for key, service in now.items() if gone else ():
        if key in was or observed.of(*key):
            continue
        alike = [old for old in gone if old[1] == key[1]]
        alike = alike or [old for old in gone if old in was and _image(was[old]) == _image(service)]
        for mount in service.config.get("volumes") or ():
            if mount["type"] not in LIVE or not mount.get("source"):
                continue
            if not _is_empty(mount, observed, filled, places, unproven):
                continue
            for old in alike:
                left = _mounted(old, base, observed).get(posixpath.normpath(mount["target"]))
                if left and left.source not in used and _has_data(left, observed, filled, places):
                    where = f"{service.stack}/{service.name} at {mount['target']}"
                    what = f"{mount['source']} is empty, and the data of {old[0]}/{old[1]} are in {left.source}"
                    yield f"{where}: {what}, which nothing would use any more"


def _image(service: Service) -> str:
    """The name of its image without tag and digest."""
    name = familiar(service.image_ref).partition("@")[0]
    return name.rpartition(":")[0] or name


def _passing(service: Service) -> Iterator[tuple[str, str]]:
    """Mounts of a service that are empty in each new container, with their kind."""
    for mount in service.config.get("volumes") or ():
        if mount["type"] == "tmpfs":
            yield mount["target"], "a tmpfs"
        elif mount["type"] == "volume" and not mount.get("source"):
            yield mount["target"], "a volume without a name"
    for line in service.config.get("tmpfs") or ():
        yield line.partition(":")[0], "a tmpfs"


def _targets(service: Service) -> set[str]:
    """The targets of the service's mounts in the commit."""
    lines = (line.partition(":")[0] for line in service.config.get("tmpfs") or ())
    paths = (*(mount["target"] for mount in service.config.get("volumes") or ()), *lines)
    return {posixpath.normpath(path) for path in paths}


def _declared(service: Service, observed: ObservedState, images: Mapping[str, ImageDefaults]) -> list[str]:
    """Targets at which a new container of the service gets an empty volume, because its image declares it. For an image
    that must still be pulled or built, the volumes of the running image count."""
    now = [item.image for item in observed.of(*service.key)]
    known = [service.image] if service.image in images else now
    paths = {posixpath.normpath(path) for image in known if image in images for path in images[image].volumes}
    return sorted(paths - _targets(service))


def _mounted(key: ServiceKey, base: DesiredState | None, observed: ObservedState) -> dict[str, Mount]:
    """By target."""
    proven = base.services().get(key) if base is not None else None
    was = [
        Mount(mount["type"], str(mount["source"]), posixpath.normpath(mount["target"]), not mount.get("read_only"))
        for mount in (proven.config.get("volumes") or () if proven is not None else ())
        if mount.get("source")
    ]
    now = [mount for item in observed.of(*key) for mount in item.mounts]
    return {mount.target: mount for mount in [*was, *now] if mount.kind in LIVE}


def sources(service: Service) -> Iterable[str]:
    """Volumes and paths that a service mounts."""
    return (str(mount["source"]) for mount in service.config.get("volumes") or () if mount.get("source"))


def _is_empty(
    mount: Mapping[str, object],
    observed: ObservedState,
    filled: Collection[str],
    places: Places,
    unproven: Collection[str],
) -> bool:
    """A volume that does not exist yet or has no data that counts, or an empty data folder. Granted paths are the
    operator's."""
    source = str(mount["source"])
    if mount["type"] == "volume":
        return source not in observed.volumes or source in unproven
    return source.startswith(f"{places.data}/") and (source not in filled or source in unproven)


def _has_data(mount: Mount, observed: ObservedState, filled: Collection[str], places: Places) -> bool:
    """An existing volume counts as filled, because only a container could read it. Files of a commit and secrets are no
    data."""
    if mount.kind == "volume":
        return mount.writable and mount.source in observed.volumes
    if mount.source.startswith((f"{places.trees}/", *([f"{places.secrets}/"] if places.secrets else ()))):
        return False
    return mount.source in filled or not mount.source.startswith(f"{places.data}/")
