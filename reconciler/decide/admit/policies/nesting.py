"""Mounts of a commit inside folders that another service can write to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from reconciler.decide.admit.nesting import Mounted, is_writable, nested
from reconciler.decide.admit.policies.leave import fits
from reconciler.decide.admit.policies.subject import Finding, Json, ServiceSubject, Subject
from reconciler.decide.mounts.mount_paths import host_path, inside
from reconciler.formats.devices import bound_device
from reconciler.formats.grants import root_path
from reconciler.formats.rules import rules
from reconciler.model.documents import Permissions

RULE = "nested-mount"
DATA = "//data/"
"""Prefix of paths in the host's data folder, wherever that is; no path of the host begins like this."""


def findings(subjects: Sequence[Subject]) -> Iterator[Finding]:
    """One finding for each mount, even if it lies in several others."""
    places: dict[Mounted, list[tuple[ServiceSubject, int]]] = defaultdict(list)
    for subject in subjects:
        for service in subject.services():
            for index, place in _places(service):
                places[place].append((service, index))
    writers = {place.path: place for place in reversed(places) if place.writable}
    told: set[Mounted] = set()
    for inner, outer in nested(places, writers.values()):
        if inner not in told and not _is_root(outer.path, subjects[0].permissions, DATA):
            told.add(inner)
            for service, index in places[inner]:
                yield _finding(service, index, inner, outer)


def allowed(inner: Mounted, outer: Mounted, permissions: Permissions, data: str) -> bool:
    """Whether the operator lets the first mount lie in the second. `data`: the data folder of the host."""
    if permissions.owner or _is_root(outer.path, permissions, data):
        return True
    asked = Finding(inner.stack, RULE, (), "", inner.service, value=value(inner.path, inner.stack, data))
    return any(fits(grant, asked, rules()[RULE]) for grant in permissions.grants)


def value(path: str, stack: str, data: str) -> str:
    """The value that a grant names: a path of the host, or a data path relative to the repository's root."""
    return path.removeprefix(f"{data.rstrip('/')}/{stack}/")


def lies_in(inner: Mounted, outer: Mounted, data: str) -> str:
    """The end of the message, after the name of the inner mount's service."""
    return (
        f"{value(inner.path, inner.stack, data)} is mounted and lies in {value(outer.path, outer.stack, data)}, which "
        f"{outer.stack}/{outer.service} can write to"
    )


def _is_root(path: str, permissions: Permissions, data: str) -> bool:
    """Whether code that can write there is root anyway, because the operator has pinned that service."""
    return not path.startswith(data) and bool(root_path(path, read_only=False, own=permissions.own))


def _finding(service: ServiceSubject, index: int, inner: Mounted, outer: Mounted) -> Finding:
    asked = value(inner.path, inner.stack, DATA)
    return service.finding(RULE, ("volumes", index), lies_in(inner, outer, DATA), value=asked)


def _places(service: ServiceSubject) -> Iterator[tuple[int, Mounted]]:
    volumes: Json = service.of.model.get("volumes") or {}
    for index, mount in enumerate(service.model.get("volumes") or ()):
        source = str(mount.get("source") or "")
        path: str | None = None
        if mount.get("type") == "bind":
            path = _bound(service, source)
        elif mount.get("type") == "volume":
            path = bound_device((volumes.get(source) or {}).get("driver_opts") or {})
        if path is not None:
            yield index, Mounted(service.of.stack, service.name, path, is_writable(mount))


def _bound(service: ServiceSubject, source: str) -> str | None:
    """Where a bind leads; None for files of the commit, which nobody can write to."""
    path = inside(source, service.of.root)
    if path is None:
        return host_path(source, service.of.permissions.binds, service.of.stack, service.name)
    return None if service.of.commit.has(path) else f"{DATA}{service.of.stack}/{path}"
