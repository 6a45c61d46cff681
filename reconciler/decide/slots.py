"""Pairs the desired containers of each service with the observed ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reconciler.model.desired import DesiredState, Service, ServiceKey
from reconciler.model.observed import Container, ObservedState, is_anonymous
from reconciler.values import dataclass

STANDBY = ".standby"
"""Suffix of the name of a standby."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One desired container. `container` None: it must be created."""

    name: str
    container: Container | None


@dataclass(frozen=True, slots=True)
class Pairing:
    """A service with its slots and its surplus containers (of another spec, or beyond the number)."""

    service: Service
    slots: tuple[Slot, ...]
    extras: tuple[Container, ...]
    stale_shares: bool = False

    @property
    def missing(self) -> tuple[Slot, ...]:
        return tuple(slot for slot in self.slots if slot.container is None)


def pair(
    desired: DesiredState, observed: ObservedState, ran_once: frozenset[str], replaced: frozenset[str] = frozenset()
) -> dict[ServiceKey, Pairing]:
    """Pair every service of the stacks that are not suspended, namespace owners before their users.

    `replaced`: ids of containers that fill no slot, whatever their spec.
    """
    pairings: dict[ServiceKey, Pairing] = {}
    existing = by_service(observed)
    for stack in desired.stacks:
        if not stack.suspended:
            for service in by_sharing(stack.services):
                pairings[service.key] = _pair(service, existing.get(service.key, ()), pairings, ran_once, replaced)
    return pairings


def by_sharing(services: Sequence[Service]) -> list[Service]:
    """The services in an order in which namespace owners come before their users."""
    ordered: dict[str, Service] = {}
    rest = {service.name: service for service in services}
    while rest:
        ready = [s for s in rest.values() if not any(name in rest for name in s.shares)] or list(rest.values())[:1]
        for service in ready:
            ordered[service.name] = rest.pop(service.name)
    return list(ordered.values())


def by_service(observed: ObservedState) -> dict[ServiceKey, tuple[Container, ...]]:
    """Containers of each service by number, those of `compose run` left out."""
    found: dict[ServiceKey, list[Container]] = {}
    for item in observed.containers:
        if not item.oneoff:
            found.setdefault((item.stack, item.service), []).append(item)
    return {key: tuple(sorted(found[key], key=lambda item: (item.number, item.id))) for key in sorted(found)}


def stable_name(container: Container) -> str:
    """The container's name without the standby suffix."""
    if not container.name.endswith(STANDBY):
        return container.name
    return container.name.removesuffix(STANDBY).removesuffix(f".{container.id[:8]}")


def has_run(container: Container) -> bool:
    """A candidate that was never started has no data: its volumes are another container's, or empty."""
    return container.state != "created"


def completed(container: Container | None) -> bool:
    """Whether a one-shot's container has ended as intended."""
    return bool(
        container
        and container.state == "exited"
        and container.exit_code == 0
        and container.started_at
        and not container.cut_off
    )


def removed(desired: DesiredState, observed: ObservedState) -> dict[ServiceKey, tuple[Container, ...]]:
    """Containers of services that are no longer desired, by service."""
    wanted = set(desired.services())
    suspended = {stack.name for stack in desired.stacks if stack.suspended}
    there = by_service(observed)
    return {key: items for key, items in there.items() if key not in wanted and key[0] not in suspended}


def _pair(
    service: Service,
    existing: Sequence[Container],
    namespace_owners: Mapping[ServiceKey, Pairing],
    ran_once: frozenset[str],
    replaced: frozenset[str],
) -> Pairing:
    matching = [item for item in existing if item.spec == service.spec and item.id not in replaced]
    bound = [item for item in matching if _bound(item, service, namespace_owners)]
    kept = sorted(bound, key=lambda item: (not item.running, item.name.endswith(STANDBY), item.number))
    kept = sorted(kept[: service.replicas], key=lambda item: item.number)
    extras = tuple(item for item in existing if item not in kept)
    if service.completes and not kept and service.spec in ran_once:
        return Pairing(service, (), extras)
    return Pairing(service, _slots(service, kept, extras), extras, len(bound) < len(matching))


def _slots(service: Service, kept: Sequence[Container], extras: Sequence[Container]) -> tuple[Slot, ...]:
    """A candidate takes the slot of the container whose anonymous volumes it uses, whatever name it was created with.
    So that container stops before the candidate starts."""
    names = [service.container(number) for number in range(1, service.replicas + 1)]
    placed = {item.name: item for item in kept if item.running and item.name in names}
    owners = {source: stable_name(item) for item in extras if has_run(item) for source in _nameless(item)}
    for item in kept:
        inherited = next((owners[source] for source in _nameless(item) if source in owners), None)
        if not item.running and inherited in names:
            placed.setdefault(inherited, item)
    for item in kept:
        if item.name in names and item not in placed.values():
            placed.setdefault(item.name, item)
    homeless = [item for item in kept if item not in placed.values()]
    for name in names:
        if name not in placed and homeless:
            placed[name] = homeless.pop(0)
    return tuple(Slot(name, placed.get(name)) for name in names)


def _nameless(container: Container) -> list[str]:
    return [mount.source for mount in container.mounts if mount.kind == "volume" and is_anonymous(mount.source)]


def _bound(container: Container, service: Service, namespace_owners: Mapping[ServiceKey, Pairing]) -> bool:
    """A namespace user is correct only while it uses the namespaces of the container that its owner keeps."""
    if not container.detailed:
        return True
    for key in service.namespace_owners:
        namespace_owner = namespace_owners.get(key)
        first = namespace_owner.slots[0].container if namespace_owner and namespace_owner.slots else None
        if first is None or first.id not in container.shares:
            return False
    return True


def settled(desired: DesiredState, observed: ObservedState, ran_once: frozenset[str]) -> bool:
    """Whether a sparse look already shows that the services need no step."""
    if removed(desired, observed):
        return False
    return all(_settled(pairing) for pairing in pair(desired, observed, ran_once).values())


def _settled(pairing: Pairing) -> bool:
    return not pairing.extras and all(
        slot.container is not None
        and slot.container.name == slot.name
        and (slot.container.state == "running" or _ended_once(pairing.service, slot.container))
        for slot in pairing.slots
    )


def _ended_once(service: Service, container: Container) -> bool:
    return service.completes and container.state == "exited" and container.exit_code == 0
