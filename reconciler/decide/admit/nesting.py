"""Mounts inside a folder that another mount lets a container write to. Pure.

Such a container can replace the inner path by a symbolic link, and the engine follows it whenever it mounts, as root
(docs/adr/0010). So an inner mount may not start while an outer one can run.
"""

from __future__ import annotations

import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from reconciler.decide.mounts.mount_paths import normal
from reconciler.formats.devices import bound_device
from reconciler.model.desired import DesiredState
from reconciler.model.observed import ObservedState, ObservedVolume
from reconciler.model.ways import Identity, Way
from reconciler.values import dataclass

NO_WAYS: Mapping[str, Way] = {}
NO_LINKS: Mapping[str, str] = {}
NO_VOLUMES: Mapping[str, ObservedVolume] = {}


@dataclass(frozen=True, slots=True)
class Mounted:
    """A path that a service mounts (absolute, in its normal form), and whether it can write below it."""

    stack: str
    service: str
    path: str
    writable: bool


Pair = tuple[Mounted, Mounted]
"""(inner, outer)"""


def nested(
    inner: Iterable[Mounted],
    outer: Iterable[Mounted],
    ways: Mapping[str, Way] = NO_WAYS,
    links: Mapping[str, str] = NO_LINKS,
) -> Iterator[Pair]:
    """Each mount of `inner` that lies in a writable one of `outer`. `ways`: known targets of paths. `links`: the links
    of adoption, place → target."""
    by_path: dict[str, list[Mounted]] = defaultdict(list)
    by_folder: dict[Identity, list[Mounted]] = defaultdict(list)
    for place in outer:
        if place.writable:
            for form in _forms(place.path, links):
                by_path[form].append(place)
            end = ways[place.path].end if place.path in ways else None
            if end is not None:
                by_folder[end].append(place)
    for place in inner:
        above = [folder for form in _forms(place.path, links) for folder in _above(form)]
        found = [item for folder in above for item in by_path.get(folder, ())]
        passed = ways[place.path].passed if place.path in ways else ()
        found += [item for folder in passed for item in by_folder.get(folder, ())]
        yield from ((place, item) for item in dict.fromkeys(found))


def is_writable(mount: Mapping[str, Any]) -> bool:
    """Whether the mount is writable, in Compose's long syntax. Mounts below a read-only mount stay writable unless
    `recursive` says otherwise."""
    recursive = (mount.get("bind") or {}).get("recursive")
    return not mount.get("read_only") or recursive in ("writable", "disabled")


def of_state(state: DesiredState, volumes: Mapping[str, ObservedVolume] = NO_VOLUMES) -> Iterator[Mounted]:
    """The mounts of a state's services. `volumes`: the existing volumes by name, since foreign ones may be mounted,
    too."""
    devices = _devices(volumes)
    made = [item for stack in state.stacks for item in stack.volumes]
    devices |= {item.name: bound_device(item.definition.get("driver_opts") or {}) for item in made}
    for service in state.services().values():
        for mount in service.config.get("volumes") or ():
            source = str(mount.get("source") or "")
            path = devices.get(source) if mount.get("type") == "volume" else source
            if path and path.startswith("/"):
                yield Mounted(service.stack, service.name, normal(path), is_writable(mount))


def of_containers(observed: ObservedState, links: Mapping[str, str]) -> Iterator[Mounted]:
    """The mounts of existing containers, stopped ones too. An adopted folder has the name that commits use."""
    devices = _devices(observed.volumes)
    places = {target: place for place, target in links.items()}
    for item in observed.containers:
        for mount in item.mounts:
            path = devices.get(mount.source) if mount.kind == "volume" else mount.source
            if path and path.startswith("/"):
                yield Mounted(item.stack, item.service, _moved(normal(path), places), mount.writable)


def _devices(volumes: Mapping[str, ObservedVolume]) -> dict[str, str | None]:
    return {name: bound_device(item.options) for name, item in volumes.items()}


def _forms(path: str, links: Mapping[str, str]) -> set[str]:
    """All spellings of a path that some file system treats as one: without regard to case and Unicode form."""
    return {unicodedata.normalize("NFC", form).casefold() for form in (path, _moved(path, links))}


def _moved(path: str, links: Mapping[str, str]) -> str:
    """The path behind a link."""
    for above in (path, *_above(path)):
        if above in links:
            return normal(links[above] + path[len(above) :])
    return path


def _above(path: str) -> Iterator[str]:
    while (above := posixpath.dirname(path)) != path:
        yield above
        path = above
