"""Mounts that lie in folders which another mount lets a container write to. Pure.

Such a container can put a symbolic link in the inner one's place, and the engine follows it whenever it mounts: that is
root on the host (docs/adr/0010). So no inner one may be started while an outer one can run.
"""

from __future__ import annotations

import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.decide.mounts.mount_paths import normal
from reconciler.formats.devices import bound_device
from reconciler.model.desired import DesiredState
from reconciler.model.observed import ObservedState, ObservedVolume
from reconciler.model.ways import Identity, Way

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
    """Each of `inner` that lies in one of `outer` that can be written to. `ways`: where the paths lead, as far as that
    is known. `links`: those of adoption, place → target."""
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
    """By Compose's long syntax. What is mounted below a read-only mount stays writable where `recursive` says so."""
    recursive = (mount.get("bind") or {}).get("recursive")
    return not mount.get("read_only") or recursive in ("writable", "disabled")


def of_state(state: DesiredState, volumes: Mapping[str, ObservedVolume] = NO_VOLUMES) -> Iterator[Mounted]:
    """What the services of a state mount. `volumes`: those that there are, by name; others' may be mounted, too."""
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
    """What containers mount that there are, stopped ones too; an adopted folder by the name that commits have."""
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
    """By what names it may be met: file systems exist that ignore case and Unicode form."""
    return {unicodedata.normalize("NFC", form).casefold() for form in (path, _moved(path, links))}


def _moved(path: str, links: Mapping[str, str]) -> str:
    """Where the path lies by way of a link."""
    for above in (path, *_above(path)):
        if above in links:
            return normal(links[above] + path[len(above) :])
    return path


def _above(path: str) -> Iterator[str]:
    while (above := posixpath.dirname(path)) != path:
        yield above
        path = above
