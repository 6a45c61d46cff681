"""Faults and drift of running containers: corrected in place, started again, or replaced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field, replace

from reconciler.decide.drift.facts import STATE, Difference, differences
from reconciler.decide.drift.restart_backoff import next_start
from reconciler.decide.drift.wanted_facts import OF_MEMORY
from reconciler.decide.slots import STANDBY
from reconciler.formats.compose_names import NAMESPACES
from reconciler.model.desired import DesiredState, Service, ServiceKey
from reconciler.model.history import History
from reconciler.model.observed import Container, ObservedState
from reconciler.model.times import engine_time
from reconciler.values import dataclass


@dataclass(frozen=True, slots=True)
class Corrections:
    """Containers by id. `drift`: their differences. `ailing`: why running containers must be started again.

    `held`: services that may not be started again at the moment. `lost`: containers that can only be replaced.
    """

    drift: Mapping[str, tuple[Difference, ...]] = field(default_factory=dict)
    ailing: Mapping[str, str] = field(default_factory=dict)
    held: frozenset[ServiceKey] = frozenset()
    lost: frozenset[str] = frozenset()

    @property
    def needed(self) -> bool:
        return bool(self.drift or self.ailing or self.lost)

    @property
    def replaced(self) -> frozenset[str]:
        """Containers that must be replaced."""
        return self.lost | {id for id, found in self.drift.items() if not all(item.correctable for item in found)}

    def cause(self, container: Container) -> str:
        """Why it is replaced; '' if it is not."""
        if container.id in self.lost:
            gone = "the container whose namespace it uses was made anew"
            return gone if container.running else "the engine cannot start it"
        return "; ".join(item.text for item in self.drift.get(container.id, ()))


NOTHING = Corrections()


def corrections(
    desired: DesiredState, observed: ObservedState, history: History, now: float, *, secrets_known: bool
) -> Corrections:
    """The corrections for the containers of `observed`, which are inspected.

    `secrets_known` False: `desired` was made with other secrets than the host has now, so only limits, networks and
    states can be compared. A one-shot stays as it ended; a container that plain Compose made stays as it was adopted,
    until a commit replaces it. Limits of memory are not compared while the engine enforces none, because it makes
    containers without them.
    """
    dropped = OF_MEMORY if history.engine is not None and not history.engine.limits else ()
    drift: dict[str, tuple[Difference, ...]] = {}
    ailing: dict[str, str] = {}
    held: set[ServiceKey] = set()
    lost: set[str] = set()
    for service, container in _kept(desired, observed):
        found = tuple(
            item
            for item in differences(service, container, observed.images.get(container.image))
            if _counts(item, secrets_known, container.id in history.adopted)
            and (service.spec, item.fact, item.found) not in history.tolerated
            and item.fact not in dropped
        )
        if found:
            drift[container.id] = found
        abandoned = _owner_was_replaced(service, container, observed)
        if container.state == "dead" or container.id in history.unstartable or abandoned:
            lost.add(container.id)
        again = next_start(history.backoffs.get(service.key), now)
        if again is None or again > now:
            held.add(service.key)
        elif cut_off := _cut_off(service, container, observed):
            ailing[container.id] = cut_off
        elif is_ailing(container) and container.unhealthy_for >= desired.gate(service.stack).unhealthy_grace:
            ailing[container.id] = f"unhealthy for {container.unhealthy_for:.0f} s"
    return Corrections(drift, ailing, frozenset(held), frozenset(lost))


def without_files(found: Corrections, observed: ObservedState, rewritten: frozenset[str]) -> Corrections:
    """Mounted files were gone and have been written anew: a running container sees the old, empty ones until it starts
    again. `rewritten`: digests of their trees."""
    blind = [
        item.id
        for item in observed.containers
        if item.running
        and (item.stack, item.service) not in found.held
        and any(rewritten.intersection(mount.source.split("/")) for mount in item.mounts)
    ]
    return replace(found, ailing={**dict.fromkeys(blind, "the files that it mounts were deleted"), **found.ailing})


def _counts(item: Difference, secrets_known: bool, adopted: bool) -> bool:
    return item.fact == STATE if adopted else item.correctable or secrets_known


def is_ailing(container: Container) -> bool:
    """Whether its health check fails."""
    return container.state == "running" and container.health == "unhealthy"


def uses_unmanaged(desired: DesiredState) -> bool:
    """Whether a service uses a namespace of a container that it names (`container:NAME`), most often an unmanaged
    one."""
    modes = (service.config.get(key) for service in desired.services().values() for key in NAMESPACES)
    return any(str(mode).startswith("container:") for mode in modes)


def _owner_was_replaced(service: Service, container: Container, observed: ObservedState) -> bool:
    """Whether somebody has replaced the unmanaged container whose namespace it uses. The engine keeps the old id, so
    the container cannot start again."""
    modes = {str(service.config.get(key) or "") for key in NAMESPACES}
    now = [other for other in observed.foreign if f"container:{other.name}" in modes]
    return any(not container.shares & {other.id, other.name} for other in now if container.shares)


def _cut_off(service: Service, container: Container, observed: ObservedState) -> str:
    """Why a namespace user must start again: a namespace ends with its owner's process, and the engine leaves users in
    the old one. '' if they use the present namespace."""
    modes = [str(service.config.get(key) or "") for key in NAMESPACES]
    owners = {mode for mode in modes if mode.startswith("service:")}
    started = engine_time(container.started_at)
    for other in observed.foreign if container.running else ():
        since = engine_time(other.started_at)
        if f"container:{other.name}" in modes and None not in (started, since) and (since or 0.0) > (started or 0.0):
            return f"{other.name}, whose namespace it uses, started after it"
    for name in sorted(owners):
        for owner in observed.of(service.stack, name.removeprefix("service:")):
            since = engine_time(owner.started_at)
            if not (container.running and owner.running and owner.id in container.shares) or None in (started, since):
                continue
            if (since or 0.0) > (started or 0.0):
                return f"{owner.service}, whose namespace it uses, started after it"
    return ""


def _kept(desired: DesiredState, observed: ObservedState) -> Iterable[tuple[Service, Container]]:
    services = desired.services()
    suspended = {stack.name for stack in desired.stacks if stack.suspended}
    for item in observed.containers:
        service = services.get((item.stack, item.service))
        if service is None or service.completes or item.stack in suspended or item.oneoff:
            continue
        if item.spec == service.spec and not item.name.endswith(STANDBY):
            yield service, item
