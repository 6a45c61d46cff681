"""What a service gets from other services of its stack: their namespaces and their mounts.

Otherwise a grant for one service would hold for every service that refers to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from reconciler.decide.admit.policies.subject import Finding, Json, ServiceSubject, Subject
from reconciler.formats.yamls import Pointer

OWN = "service:"

MOST_REACHED = 10_000
"""Maximum number of services and mounts that the services of a stack reach, counted once for each service that reaches
them."""


def namespace(service: ServiceSubject, key: str) -> str:
    """The value of `key` (network_mode, pid, ipc); if it names a service that itself names another, the last one's
    value."""
    services: Mapping[str, Json] = service.of.model.get("services") or {}
    value, seen = str(service.model.get(key) or ""), {service.name}
    while value.startswith(OWN) and (name := value.removeprefix(OWN)) not in seen:
        seen.add(name)
        value = str((services.get(name) or {}).get(key) or "")
    return value


def findings(subject: Subject) -> Iterator[Finding]:
    """A finding if the services share more than can be judged in time."""
    if _sharing(subject).too_much:
        what = f"its services reach more than {MOST_REACHED} services and mounts of each other"
        yield subject.finding("too-much-shared", ("services",), what)


def mounts_of_others(service: ServiceSubject) -> Iterator[tuple[Pointer, str, Json]]:
    """(place, service that mounts it, mount) of each mount that `service` reaches without mounting it itself."""
    services: Mapping[str, Json] = service.of.model.get("services") or {}
    for name, place in reached(service).items():
        for mount in (services.get(name) or {}).get("volumes") or ():
            yield place, name, mount


def reached(service: ServiceSubject) -> dict[str, Pointer]:
    """The other services whose mounts it reaches → the place in the file that causes it.

    It reaches mounts by volumes_from, and below /proc/<pid>/root of services that share its processes, in both
    directions. Empty if the stack shares too much (`findings`).
    """
    sharing, found = _sharing(service.of), dict[str, Pointer]()
    if sharing.too_much:
        return {}
    for index, name in _lenders(service.model):
        for lender in sharing.lenders(name):
            found.setdefault(lender, ("volumes_from", index))
    for name in sharing.group(service.name):
        found.setdefault(name, ("pid",) if service.model.get("pid") else ())
    found.pop(service.name, None)
    return found


def processes_with(service: ServiceSubject) -> set[str]:
    """The other services that see its processes, in both directions."""
    return _sharing(service.of).processes(service.name) - {service.name}


def namespace_owners(service: ServiceSubject) -> dict[str, str]:
    """`pid` and `ipc` → the service whose namespace of this kind it uses: its own, unless it shares."""
    sharing = _sharing(service.of)
    return {"pid": sharing.roots[service.name], "ipc": sharing.ipc_roots[service.name]}


class _Sharing:
    """What the services of one stack share, found once for all of them."""

    def __init__(self, services: Mapping[str, Json]) -> None:
        self._services, self.roots, self.ipc_roots = services, _roots(services, "pid"), _roots(services, "ipc")
        self._processes: dict[str, set[str]] = {}
        for name, root in self.roots.items():
            self._processes.setdefault(root, set()).add(name)
        self._lenders: dict[str, set[str]] = {}
        self._groups: dict[str, list[str]] = {}
        self.too_much = self._is_too_much()

    def _is_too_much(self) -> bool:
        total = 0
        for name, model in self._services.items():
            reached = {one for _, lender in _lenders(model or {}) for one in self.lenders(lender)}
            reached = reached.union(self.group(name)) - {name}
            total += sum(1 + len((self._services.get(one) or {}).get("volumes") or ()) for one in reached)
            if total > MOST_REACHED:
                return True
        return False

    def processes(self, name: str) -> set[str]:
        """The services that see each other's processes, this one too."""
        return self._processes.get(self.roots.get(name, ""), set())

    def lenders(self, name: str) -> set[str]:
        """A service, the services whose volumes it has, and so on."""
        if name not in self._lenders:
            self._lenders[name] = _all_lenders(self._services, name)
        return self._lenders[name]

    def group(self, name: str) -> list[str]:
        """The services that see its processes, and the services whose volumes those have."""
        root = self.roots.get(name, "")
        if root not in self._groups:
            there = {lender for one in self.processes(name) for lender in self.lenders(one)}
            self._groups[root] = sorted(there)
        return self._groups[root]


def _sharing(subject: Subject) -> _Sharing:
    if "sharing" not in subject.known:
        subject.known["sharing"] = _Sharing(subject.model.get("services") or {})
    found: _Sharing = subject.known["sharing"]
    return found


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


def _roots(services: Mapping[str, Json], key: str) -> dict[str, str]:
    """Service → the service whose namespace it finally shares; itself if it shares none."""
    roots = {}
    for name in services:
        root, seen = name, {name}
        while (value := str((services.get(root) or {}).get(key) or "")).startswith(OWN):
            root = value.removeprefix(OWN)
            if root in seen:
                break
            seen.add(root)
        roots[name] = root
    return roots
