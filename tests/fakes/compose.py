"""Compose's `up --no-start --no-deps --no-recreate --scale …`, as far as the reconciler uses it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from reconciler.decide.drift.wanted_facts import wanted
from reconciler.errors import RolloutFailed, Transient
from reconciler.model.creation import Creation
from reconciler.model.desired import Service, Stack
from reconciler.model.observed import Mount, ObservedVolume
from reconciler.model.outcome import Failure, Reason
from tests.fakes.containers import FakeContainer

if TYPE_CHECKING:
    from tests.fakes.machine import FakeMachine


def create(machine: FakeMachine, stack: Stack, creations: Sequence[Creation], existing: Mapping[str, int]) -> None:
    """Create the missing ones. A number below the existing ones would remove some, and must never be requested."""
    for creation in creations:
        _refuse_what_is_missing(machine, creation)
    for creation in creations:
        present = _of(machine, stack.name, creation.service.name)
        missing = existing.get(creation.service.name, 0) + creation.count - len(present)
        if missing < 0:
            raise AssertionError(f"--scale {creation.service.name} below the {len(present)} that exist")
        first = max((c.number for c in present), default=0) + 1
        for number in range(first, first + missing):
            _create_one(machine, stack, creation, number)


def _create_one(machine: FakeMachine, stack: Stack, creation: Creation, number: int) -> None:
    service = creation.service
    name = creation.name or f"{service.stack}-{service.name}-{number}"
    if name in {c.name for c in machine.containers.values()} | set(machine.foreign):
        raise _failed(f'Conflict. The container name "/{name}" is already in use')
    id = machine.new_id()
    shared = {mode: f"container:{creation.sharing[mode]}" for mode in service.shares if mode in creation.sharing}
    machine.containers[id] = FakeContainer(
        id=id,
        name=name,
        stack=service.stack,
        service=service.name,
        number=number,
        image=service.image,
        spec=service.spec,
        host=machine.host,
        memory=service.memory if machine.enforces else 0,
        healthcheck=service.healthcheck,
        restart=str(service.config.get("restart", "no")),
        networks={item.network: machine.networks[item.network].id for item in service.endpoints},
        addresses={item.network: item.ipv4 for item in service.endpoints if item.ipv4},
        aliases={item.network: frozenset(item.aliases) for item in service.endpoints},
        network_mode=_network_mode(service, shared, {item.key: item.name for item in stack.networks}, machine),
        mounts=tuple(sorted(_mounts(machine, creation), key=lambda mount: mount.target)),
        ports=service.ports,
        shares=frozenset(mode.removeprefix("container:") for mode in shared.values()) | _unmanaged(service, machine),
        namespaces=_namespaces(service, shared),
        trees=_trees(service),
        grace=service.grace,
        # tests/contract/test_facts.py proves that the engine's facts of a container are those of its service.
        facts=wanted(service, machine.image_defaults(service.image)) | machine.dropped,
    )


def _mounts(machine: FakeMachine, creation: Creation) -> Iterable[Mount]:
    declared = {item["target"]: item for item in creation.service.config.get("volumes") or ()}
    image = machine.image_volumes.get(creation.service.image, ())
    for target in declared.keys() | set(image) | creation.anonymous.keys():
        item = declared.get(target, {"type": "volume", "target": target})
        kind = item.get("type", "volume")
        source = item.get("source") or ""
        if kind == "volume" and not source:
            source = creation.anonymous.get(target) or _anonymous_volume(machine)
        yield Mount(kind, source, target, not item.get("read_only", False))


def _trees(service: Service) -> tuple[str, ...]:
    sources = (PurePosixPath(item.get("source") or "") for item in service.config.get("volumes") or ())
    return tuple(source.name for source in sources if source.parent.name == "trees")


def _anonymous_volume(machine: FakeMachine) -> str:
    name = machine.new_id()
    machine.volumes[name] = ObservedVolume()
    return name


def _network_mode(service: Service, shared: Mapping[str, str], own: Mapping[str, str], machine: FakeMachine) -> str:
    mode = str(service.config.get("network_mode") or "")
    if mode.startswith("service:"):
        return shared[mode.removeprefix("service:")]
    if mode or not service.endpoints:
        return mode or "none"
    first = service.endpoints[0].network
    # Compose writes the id of a network that is external to the stack, and the name of the stack's own.
    return first if first in own.values() else machine.networks[first].id


def _namespaces(service: Service, shared: Mapping[str, str]) -> frozenset[str]:
    modes = [str(service.config.get(key) or "") for key in ("network_mode", "pid", "ipc")]
    named = [mode.removeprefix("service:") for mode in modes if mode.startswith("service:")]
    return frozenset(shared[name].removeprefix("container:") for name in named)


def _unmanaged(service: Service, machine: FakeMachine) -> frozenset[str]:
    """Ids of the unmanaged containers whose namespaces it uses; Compose writes the id for the name."""
    modes = [str(service.config.get(key) or "") for key in ("network_mode", "pid", "ipc")]
    return frozenset(item.id for item in machine.foreign.values() if f"container:{item.name}" in modes)


def _refuse_what_is_missing(machine: FakeMachine, creation: Creation) -> None:
    for endpoint in creation.service.endpoints:
        if endpoint.network not in machine.networks:
            raise _failed(f"network {endpoint.network} declared as external, but could not be found")
    for item in creation.service.config.get("volumes") or ():
        source = item.get("source")
        if item.get("type") == "volume" and source and source not in machine.volumes:
            raise _failed(f'external volume "{source}" not found')
    if not machine.trees.issuperset(_trees(creation.service)):
        raise Transient(Reason.FILE_MISSING, "what a container mounts is not there")


def _of(machine: FakeMachine, stack: str, service: str) -> list[FakeContainer]:
    return [c for c in machine.containers.values() if (c.stack, c.service) == (stack, service)]


def _failed(words: str) -> RolloutFailed:
    return RolloutFailed(Failure(Reason.ENGINE_REFUSED, f"Compose could not create the containers: {words}"))
