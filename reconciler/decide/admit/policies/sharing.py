"""What a service gets from other services of its stack: their namespaces and their mounts.

Otherwise a grant for one service would hold for every service that refers to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from reconciler.decide.admit.policies.subject import Json, ServiceSubject
from reconciler.formats.yamls import Pointer

OWN = "service:"


def namespace(service: ServiceSubject, key: str) -> str:
    """The value of `key` (network_mode, pid, ipc); if it names a service that itself names another, the last one's
    value."""
    services: Mapping[str, Json] = service.of.model.get("services") or {}
    value, seen = str(service.model.get(key) or ""), {service.name}
    while value.startswith(OWN) and (name := value.removeprefix(OWN)) not in seen:
        seen.add(name)
        value = str((services.get(name) or {}).get(key) or "")
    return value


def mounts_of_others(service: ServiceSubject) -> Iterator[tuple[Pointer, str, Json]]:
    """(place, service that mounts it, mount) of what `service` reaches without mounting it itself.

    It reaches mounts by volumes_from, and below /proc/<pid>/root of services that share its processes, in both
    directions.
    """
    services: Mapping[str, Json] = service.of.model.get("services") or {}
    reached: dict[str, Pointer] = {}
    for index, name in _lenders(service.model):
        for lender in _all_lenders(services, name):
            reached.setdefault(lender, ("volumes_from", index))
    group = _roots(services)
    for name in services:
        if group[name] == group[service.name]:
            reached.setdefault(name, ("pid",) if service.model.get("pid") else ())
            for lender in _all_lenders(services, name):
                reached.setdefault(lender, ("pid",) if service.model.get("pid") else ())
    reached.pop(service.name, None)
    for name, place in reached.items():
        for mount in (services.get(name) or {}).get("volumes") or ():
            yield place, name, mount


def processes_with(service: ServiceSubject) -> set[str]:
    """The other services that see its processes, in both directions."""
    roots = _roots(service.of.model.get("services") or {})
    return {name for name, root in roots.items() if root == roots.get(service.name)} - {service.name}


def _lenders(model: Json) -> Iterator[tuple[int, str]]:
    for index, source in enumerate(model.get("volumes_from") or ()):
        if not str(source).startswith("container:"):
            yield index, str(source).partition(":")[0]


def _all_lenders(services: Mapping[str, Json], name: str) -> set[str]:
    """A service, the services whose volumes it has, and so on."""
    found, ahead = {name}, [name]
    while ahead:
        for _, other in _lenders(services.get(ahead.pop()) or {}):
            if other not in found:
                found.add(other)
                ahead.append(other)
    return found


def _roots(services: Mapping[str, Json]) -> dict[str, str]:
    """Service → the service whose processes it finally shares; itself if it shares none."""
    roots = {}
    for name in services:
        root, seen = name, {name}
        while (value := str((services.get(root) or {}).get("pid") or "")).startswith(OWN):
            root = value.removeprefix(OWN)
            if root in seen:
                break
            seen.add(root)
        roots[name] = root
    return roots
