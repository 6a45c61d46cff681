"""Matches containers that plain Compose started with services, and gives the reason for those that do not match. Pure.

A label cannot be added to a container that runs. So the journal has the spec of each adopted container, and those of
its facts that are equivalent but not equal (a file of the working folder for the same bytes of the commit, `./data` of
the project for the host's data folder, an image of the same layers).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace

from reconciler.decide.drift.facts import differences
from reconciler.decide.drift.overlay import as_adopted
from reconciler.decide.drift.wanted_facts import wanted
from reconciler.decide.mounts.digests import digest
from reconciler.model.desired import DesiredState, Service, ServiceKey, Stack
from reconciler.model.history import FOUND_SPEC, Adopted
from reconciler.model.images import Image, ImageDefaults, is_unresolved
from reconciler.model.observed import Container, Foreign, ObservedState
from reconciler.values import dataclass

Mount = tuple[str, str, bool]

FOUND = "started without us"
"""Key of a service's config: the service matches exactly the container ids in its value. A replacement names this key
as a cause, as it does each other key of the config that differs."""


@dataclass(frozen=True, slots=True)
class Question:
    """Whether `path` of the machine has had the bytes of the tree `digest` since before the container's start."""

    path: str
    digest: str
    since: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """`records`: new adoptions for the journal, by container. `causes`: why a service's container cannot stay.

    `links`: folder that commits will mount → the folder of the machine that it must become. `hidden`: places with data
    (service, found, wanted) that the commit would hide behind an empty folder.
    """

    records: Mapping[str, Adopted] = field(default_factory=dict)
    causes: Mapping[ServiceKey, tuple[str, ...]] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    hidden: tuple[tuple[ServiceKey, str, str], ...] = ()


def without_unmanaged(observed: ObservedState, target: DesiredState, adopted: Mapping[str, Adopted]) -> ObservedState:
    """Removes unmanaged containers, whatever project their labels name."""
    unmanaged = [item for item in observed.containers if _is_unmanaged(item, target, adopted)]
    ids = {item.id for item in unmanaged}
    foreign = tuple(Foreign(c.id, c.name, c.memory, c.ports, c.started_at) for c in unmanaged if c.running)
    return replace(
        observed,
        containers=tuple(item for item in observed.containers if item.id not in ids),
        foreign=tuple(sorted((*observed.foreign, *foreign), key=lambda item: item.name)),
        others={**observed.others, **{item.name: item.stack for item in observed.containers if _is_left(item, ids)}},
    )


def questions(target: DesiredState, observed: ObservedState, adopted: Mapping[str, Adopted]) -> list[Question]:
    """Questions about the machine's files that `judge` needs."""
    trees = {tree.digest for tree in target.trees if tree.path is not None}
    asked = []
    for service, item in _candidates(target, observed, adopted):
        known = adopted[item.id].mounts if item.id in adopted else {}
        for place, (found, want) in _binds(service, item, observed).items():
            name = posixpath.basename(want[1])
            if place not in known and name in trees:
                asked.append(Question(found[1], name, item.started_at))
    return asked


def judge(
    target: DesiredState,
    observed: ObservedState,
    adopted: Mapping[str, Adopted],
    same: frozenset[Question],
    images: Mapping[str, Image],
    data: str,
) -> Verdict:
    """`same`: the questions whose answer is yes. `images`: those of `target`, by id. `data`: the host's folder for
    relative folders. An image that is not built yet counts as equal to the running one."""
    records: dict[str, Adopted] = {}
    causes: dict[ServiceKey, tuple[str, ...]] = {}
    links: dict[str, str] = {}
    hidden: list[tuple[ServiceKey, str, str]] = []
    for service, item in _candidates(target, observed, adopted):
        known = adopted.get(item.id)
        mounts = dict(known.mounts) if known else {}
        for place, (found, want) in _binds(service, item, observed).items():
            linked = _is_own_data(found[1], want[1], item, f"{data}/{service.stack}/")
            if Question(found[1], posixpath.basename(want[1]), item.started_at) in same or linked:
                mounts.setdefault(place, want)
            if linked:
                links[want[1]] = found[1]
            elif want[1].startswith(f"{data}/") and mounts.get(place) != want:
                hidden.append((service.key, found[1], want[1]))
        image = _image(service, item, known, observed, images)
        made = Adopted(service.stack, service.spec, mounts, image)
        left = _in_the_way(service, as_adopted(item, made, ""), observed.images.get(item.image))
        if service.config.get(FOUND) or not left:
            records[item.id] = made if not service.config.get(FOUND) else Adopted(service.stack, service.spec)
        else:
            causes[service.key] = tuple(dict.fromkeys((*causes.get(service.key, ()), *left)))
            if known is None:
                records[item.id] = Adopted(service.stack, _found_spec([item]))
    return Verdict(records, causes, links, tuple(hidden))


def baseline(
    target: DesiredState, observed: ObservedState, good: DesiredState | None, verdict: Verdict
) -> DesiredState:
    """The rollback state: last good, and the running containers of services that only `target` has.

    `observed`: with the overlay. A container that matches gets its service's spec, any other a spec of its own.
    """
    asked = {stack.name: stack for stack in target.stacks if not stack.suspended}
    before = good.stacks if good else ()
    kept = {stack.name: _with_found(stack, asked.get(stack.name), observed, verdict) for stack in before}
    stacks = [_as_found(stack, observed, verdict.causes) for name, stack in asked.items() if name not in kept]
    found = (*kept.values(), *(stack for stack in stacks if stack.services))
    content = digest(["adopted", good.content if good else "", [_identity(stack) for stack in found]])
    return DesiredState(
        target.host,
        good.revision if good else "",
        content,
        good.memory if good else target.memory,
        found,
        good.trees if good else (),
    )


def _identity(stack: Stack) -> object:
    return [stack.name, [[item.name, item.spec, item.replicas, item.restart] for item in stack.services]]


def _is_unmanaged(item: Container, target: DesiredState, adopted: Mapping[str, Adopted]) -> bool:
    if item.host is not None or item.oneoff:
        return False
    proven = item.id in adopted and adopted[item.id].proven
    return not proven and ((item.stack, item.service) not in target.services() or not item.number)


def _is_left(item: Container, unmanaged: set[str]) -> bool:
    """Whether it must not be renamed: an unmanaged container, or one of `docker compose run`."""
    return item.id in unmanaged or (item.host is None and item.oneoff)


def _candidates(
    target: DesiredState, observed: ObservedState, adopted: Mapping[str, Adopted]
) -> Iterable[tuple[Service, Container]]:
    """Containers without our label that were not judged yet, or that match no service, or matched none before the
    commit that the target undoes. A commit replaces a container that once matched a service like any other."""
    suspended = {stack.name for stack in target.stacks if stack.suspended}
    services = target.services()
    for item in observed.containers:
        service = services.get((item.stack, item.service))
        if service is None or item.host is not None or item.oneoff or item.stack in suspended:
            continue
        known = adopted.get(item.id)
        itself = item.id in (service.config.get(FOUND) or ())
        if known is None or ((itself or known.itself) and known.spec != service.spec):
            yield service, item


def _binds(service: Service, item: Container, observed: ObservedState) -> dict[str, tuple[Mount, Mount]]:
    """Target → (found, wanted), if both are folders or files of the machine, and not the same."""
    there: Mapping[str, Mount] = item.facts.get("mounts") or {}
    asked = wanted(service, observed.images.get(item.image) or ImageDefaults())["mounts"]
    return {
        place: (there[place], want)
        for place, want in asked.items()
        if place in there and there[place][0] == want[0] == "bind" and there[place][1] != want[1]
    }


def _is_own_data(found: str, want: str, item: Container, folder: str) -> bool:
    """Whether it is the same relative folder of the project: `./data` of the folder where it was started."""
    if not want.startswith(folder) or not item.folder:
        return False
    relative = posixpath.relpath(found, item.folder)
    path = want.removeprefix(folder)
    return not relative.startswith("..") and (path == relative or path.endswith(f"/{relative}"))


def _image(
    service: Service, item: Container, known: Adopted | None, observed: ObservedState, images: Mapping[str, Image]
) -> str | None:
    """The id of the image that counts as equal, if it is another one."""
    if item.image == service.image:
        return None
    there = observed.images.get(item.image)
    built = images.get(service.image)
    alike = there is not None and built is not None and there.content != "" and there.content == built.content
    open_yet = is_unresolved(service.image)
    return service.image if alike or open_yet or (known and known.image == service.image) else None


def _in_the_way(service: Service, item: Container, image: ImageDefaults | None) -> list[str]:
    if image is None:
        return ["its image is gone"]
    return [found.text for found in differences(service, item, image) if not found.correctable]


def _found_spec(items: Sequence[Container]) -> str:
    return f"{FOUND_SPEC}{digest(sorted(item.id for item in items))}"


def _with_found(kept: Stack, asked: Stack | None, observed: ObservedState, verdict: Verdict) -> Stack:
    """A stack of last good, with the services of `asked` that plain Compose has started since then.

    Containers of an interrupted attempt did not run before.
    """
    names = {service.name for service in kept.services}
    there = {(item.stack, item.service) for item in observed.containers if item.id in verdict.records}
    new = [item for item in (asked.services if asked else ()) if item.name not in names and item.key in there]
    if asked is None or not new:
        return kept
    found = _as_found(replace(asked, services=tuple(new)), observed, verdict.causes)
    networks = {item.name: item for item in (*found.networks, *kept.networks)}
    volumes = {item.name: item for item in (*found.volumes, *kept.volumes)}
    return replace(
        kept,
        services=(*kept.services, *found.services),
        networks=tuple(networks.values()),
        volumes=tuple(volumes.values()),
    )


def _as_found(stack: Stack, observed: ObservedState, causes: Mapping[ServiceKey, Sequence[str]]) -> Stack:
    services = []
    for service in stack.services:
        there = [item for item in observed.of(stack.name, service.name) if not item.oneoff]
        if there:
            services.append(_service_as_found(service, there, causes.get(service.key, ())))
    networks = tuple(item for item in stack.networks if item.name in observed.networks)
    volumes = tuple(item for item in stack.volumes if item.name in observed.volumes)
    return replace(stack, services=tuple(services), networks=networks, volumes=volumes)


def _service_as_found(service: Service, there: Sequence[Container], causes: Sequence[str]) -> Service:
    """A service that did not run before is not started during the rollback either."""
    restart = there[0].restart or service.restart
    ended = service.completes or not any(item.running for item in there)
    plain = replace(service, restart=restart, replicas=len(there), completes=ended)
    if all(item.spec == service.spec for item in there):
        return plain
    return replace(
        plain,
        spec=_found_spec(there),
        config={**service.config, **dict.fromkeys(causes, ""), FOUND: sorted(item.id for item in there)},
        image=there[0].image,
        memory=max(item.memory for item in there),
        endpoints=(),
        healthcheck=any(item.health != "none" for item in there),
        container_name=there[0].name if len(there) == 1 else None,
    )
