"""Finds which services of a host write where others read. It is found once for all services of a commit: a commit may
have a thousand services that are equal to root and reach each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.decide.admit.nesting import is_writable
from reconciler.decide.admit.policies.sharing import namespace_owners, reached
from reconciler.decide.admit.policies.subject import Json, ServiceSubject, Subject
from reconciler.decide.mounts.mount_paths import host_path, inside
from reconciler.formats.devices import bound_device
from reconciler.formats.grants import absolute

OF_THE_HOST = frozenset({"/", "/dev", "/etc", "/proc", "/run", "/run/docker.sock", "/run/podman/podman.sock", "/sys"})
"""Targets that a pinned service may mount and `rest` leaves out: the grant is about them, and no container writes
programs there. Deeper targets count, because volumes of other services are below /, too."""

Name = tuple[str, str]
"""(stack, service)"""


class Writers:
    """The writers of all places of a host. A place is a volume (':' and its name on the engine), a data folder (the
    stack's name and its path), a path of the host, or a namespace (`pid`, `ipc`) that services share."""

    def __init__(self, subject: Subject) -> None:
        self.services = {
            (one.of.stack, one.name): one for each in (subject.host or (subject,)) for one in each.services()
        }
        own = {name: [*_places(one)] for name, one in self.services.items()}
        self._read: dict[Name, set[str]] = {}
        self._at: dict[str, dict[Name, None]] = {}
        self._below: dict[str, dict[Name, None]] = {}
        for name, one in self.services.items():
            stack = name[0]
            places = [place for other in (one.name, *reached(one)) for place in own.get((stack, other), ())]
            self._read[name] = {place for place, _, is_read in places if is_read}
            for place in {place for place, is_written, _ in places if is_written}:
                self._at.setdefault(place, {})[name] = None
                for above in _above(place):
                    self._below.setdefault(above, {})[name] = None

    def beside(self, subject: Subject, service: str) -> list[ServiceSubject]:
        """Services of the host that write where this one reads, and services that write where those read, and so on,
        sorted by stack and name."""
        first = (subject.stack, service)
        found, ahead, seen = {first}, {*self._read.get(first, ())}, set[str]()
        while ahead:
            place = ahead.pop()
            seen.add(place)
            for where in (self._at.get(place, {}), self._below.get(place, {}), *self._writing_above(place)):
                for name in where.keys() - found:
                    found.add(name)
                    ahead |= self._read[name] - seen
        return [self.services[name] for name in sorted(found - {first})]

    def _writing_above(self, place: str) -> Iterator[Mapping[Name, None]]:
        return (self._at[above] for above in _above(place) if above in self._at)


def _above(place: str) -> Iterator[str]:
    """The folders above a place."""
    while "/" in place:
        place = place.rpartition("/")[0]
        yield place


def _places(service: ServiceSubject) -> Iterator[tuple[str, bool, bool]]:
    """(place without a slash at its end, whether it is written, whether it is read) of each mount of a service, and of
    its namespaces: a program can trace another one there that has the same capabilities, and use its devices and kernel
    settings.

    Many services may read a path of the host, so only a writable mount of it counts as written.
    """
    subject = service.of
    volumes: Json = subject.model.get("volumes") or {}
    for kind, owner in namespace_owners(service).items():
        yield f"{kind}:{subject.stack}:{owner}", True, True
    for mount in service.model.get("volumes") or ():
        source = str(mount.get("source") or "")
        path = inside(source, subject.root)
        of_host = None
        if mount.get("type") == "volume" and source:
            definition: Mapping[str, Any] = volumes.get(source) or {}
            yield f":{definition.get('name') or source}", True, True
            of_host = bound_device(definition.get("driver_opts") or {})
        elif mount.get("type") == "bind" and path is None:
            of_host = host_path(source, subject.permissions.binds, subject.stack, service.name)
        elif mount.get("type") == "bind" and path is not None and not subject.commit.has(path):
            yield f"{subject.stack}/{path}", True, True
        if of_host is not None:
            place = absolute(of_host)
            yield place.rstrip("/"), is_writable(mount), place not in OF_THE_HOST
