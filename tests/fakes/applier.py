"""Changes the machine in memory through `loop.ports.Applier`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from reconciler.decide.plan.ranges import chosen, taken
from reconciler.errors import ImageFailed, ReconcilerError, RolloutFailed, Transient
from reconciler.model.creation import Creation
from reconciler.model.desired import DesiredState, Endpoint, Network, Stack, Volume
from reconciler.model.files import Files
from reconciler.model.images import Image, ImageWant, familiar
from reconciler.model.observed import COMPOSE_PROJECT, LABEL_HOST, LABEL_SPEC, ObservedNetwork, ObservedVolume
from reconciler.model.outcome import Failure, Reason
from reconciler.observe.host import holders
from tests.fakes.compose import create

if TYPE_CHECKING:
    from tests.fakes.containers import FakeContainer
    from tests.fakes.machine import FakeMachine


class FakeApplier:
    def __init__(self, machine: FakeMachine) -> None:
        self._machine = machine

    # -- images and files --------------------------------------------------------------------------------------

    def pull(self, want: ImageWant) -> Image:
        with self._machine.effect(f"pull {want.ref}"):
            self._machine.is_busy(self._machine.takes.get(want.ref, 0.0))
            if self._machine.registry_away:
                raise Transient(Reason.PULL_FAILED, f"the registry of {want.ref} does not answer")
            if want.ref not in self._machine.registry:
                raise ImageFailed(Reason.PULL_FAILED, f"there is no image {want.ref}")
            moved = self._machine.images.get(want.ref)
            self._machine.images[want.ref] = self._machine.registry[want.ref]
            if moved is not None and moved not in self._machine.images.values():
                self._machine.images[moved.id] = moved
            return self._machine.images[want.ref]

    def build(self, want: ImageWant, files: Files) -> Image:
        with self._machine.effect(f"build {want.tag}"):
            self._machine.is_busy(self._machine.takes.get(familiar(want.ref), 0.0))
            if want.key in self._machine.build_failures:
                raise ImageFailed(Reason.BUILD_FAILED, f"{want.ref} cannot be built")
            image = Image("sha256:" + hashlib.sha256(want.key.encode()).hexdigest())
            self._machine.images[want.tag] = image
            self._machine.built_for[image.id] = (want.stack, want.service)
            return image

    def remove_image(self, name: str) -> None:
        machine = self._machine
        with machine.effect(f"remove image {name}"):
            found = machine.images.get(name) or next((i for i in machine.images.values() if i.id == name), None)
            if found is None:
                return
            names = [item for item, image in machine.images.items() if image.id == found.id]
            used = found.id in machine.observer.in_use().images
            if name in names and len(names) > 1:
                del machine.images[name]
            elif not used:
                for item in names:
                    del machine.images[item]

    def stored_trees(self) -> Sequence[str]:
        return sorted(self._machine.trees)

    def remove_trees(self, digests: Iterable[str]) -> None:
        for digest in digests:
            with self._machine.effect(f"remove tree {digest}"):
                self._machine.trees.discard(digest)

    def trees(self, desired: DesiredState, files: Files | None) -> frozenset[str]:
        before = set(self._machine.trees)
        for tree in desired.trees:
            if tree.digest not in self._machine.trees and (files is not None or tree.path is None):
                with self._machine.effect(f"tree {tree.digest}"):
                    self._machine.trees.add(tree.digest)
        return frozenset(self._machine.trees - before)

    def link(self, folder: str, to: str) -> None:
        if self._machine.links.get(folder) != to:
            with self._machine.effect(f"link {folder}"):
                self._machine.links[folder] = to

    # -- networks and volumes ----------------------------------------------------------------------------------

    def create_network(self, network: Network) -> None:
        machine = self._machine
        with machine.effect(f"create network {network.name}"):
            there = machine.networks.get(network.name)
            if there is not None and there.digest != network.digest:
                raise _refused(f"network {network.name} already exists", Reason.DEPENDENCY_NOT_READY)
            if there is None:
                labels = {
                    COMPOSE_PROJECT: network.stack,
                    LABEL_HOST: machine.host,
                    LABEL_SPEC: network.digest,
                }
                if any(taken(other, network) for other in machine.networks.values()):
                    raise _refused("Pool overlaps with other one on this address space", Reason.DEPENDENCY_NOT_READY)
                pools = [{"Subnet": text} for text in chosen(network)]
                raw = {"IPAM": {"Config": pools}} if pools else {}
                made = ObservedNetwork(machine.new_id(), network.name, labels, network.digest, raw=raw)
                machine.networks[network.name] = made

    def remove_network(self, name: str) -> None:
        machine = self._machine
        network = machine.networks.get(name)
        if network is None or network.labels.get(LABEL_HOST) != machine.host:
            return
        for container in self._attached(name):
            if not container.active:
                with machine.effect(f"disconnect {container.id[:12]} {name}"):
                    del container.networks[name]
        with machine.effect(f"remove network {name}"):
            if not self._attached(name) and not network.containers:
                machine.networks.pop(name, None)

    def create_volume(self, volume: Volume) -> None:
        with self._machine.effect(f"create volume {volume.name}"):
            options = dict(volume.definition.get("driver_opts") or {})
            labels = {COMPOSE_PROJECT: volume.stack, LABEL_HOST: self._machine.host}
            made = ObservedVolume(options=options, labels=labels)
            self._machine.volumes.setdefault(volume.name, made)

    # -- containers --------------------------------------------------------------------------------------------

    def create(self, stack: Stack, services: Sequence[Creation], existing: Mapping[str, int]) -> None:
        names = ", ".join(f"{item.service.name}×{item.count}" for item in services)
        with self._machine.effect(f"create {stack.name}: {names}"):
            create(self._machine, stack, services, existing)

    def start(self, container: str) -> None:
        with self._machine.effect(f"start {container[:12]}"):
            found = self._get(container)
            if found.state == "running":
                return
            self._refuse_if_impossible(found)
            found.restart_count = 0
            self._machine.run(found)

    def start_all(self, containers: Sequence[str]) -> dict[str, ReconcilerError]:
        """One after the other: a process that is killed in between has started the first ones."""
        failed: dict[str, ReconcilerError] = {}
        for container in containers:
            try:
                self.start(container)
            except ReconcilerError as error:
                failed[container] = error
        return failed

    def stop_all(self, graces: Mapping[str, float]) -> None:
        """One after the other: a process that is killed in between has stopped the first ones."""
        for container, grace in graces.items():
            with self._machine.effect(f"stop {container[:12]}"):
                found = self._machine.containers.get(container)
                if found is not None and found.active:
                    self._machine.before_stop(found)
                    self._machine.halt(found, grace)

    def rename(self, container: str, name: str) -> None:
        with self._machine.effect(f"rename {container[:12]} {name}"):
            found = self._get(container)
            taken = {item.name for item in self._machine.containers.values() if item is not found}
            if name in taken | set(self._machine.foreign):
                raise Transient(Reason.DEPENDENCY_NOT_READY, f"the container name {name} is taken")
            self._machine.is_renamed(found, name)

    def update(self, container: str, restart: str) -> None:
        with self._machine.effect(f"update {container[:12]} restart={restart}"):
            self._get(container).restart = restart

    def update_all(self, policies: Mapping[str, str]) -> None:
        """One after the other, the others too if one fails."""
        failed: list[ReconcilerError] = []
        for container, restart in policies.items():
            try:
                self.update(container, restart)
            except ReconcilerError as error:
                failed.append(error)
        if failed:
            raise failed[0]

    def limit(self, container: str, limits: Mapping[str, Any]) -> None:
        with self._machine.effect(f"limit {container[:12]}"):
            found = self._get(container)
            limits = {**limits, **self._machine.dropped}
            found.facts |= {name: value for name, value in limits.items() if name in found.facts}
            found.memory = limits["memory"]

    def resume(self, container: str) -> None:
        with self._machine.effect(f"resume {container[:12]}"):
            self._machine.goes_on(self._get(container))

    def disconnect(self, container: str, network: str) -> None:
        with self._machine.effect(f"disconnect {container[:12]} {network}"):
            self._get(container).networks.pop(network, None)

    def connect(self, container: str, endpoint: Endpoint) -> None:
        found = self._get(container)
        name, network = endpoint.network, self._machine.networks.get(endpoint.network)
        if name in found.networks:
            same_address = not endpoint.ipv4 or found.addresses.get(name) == endpoint.ipv4
            same_network = network is not None and found.networks[name] == network.id
            if same_network and same_address and frozenset(endpoint.aliases) <= found.aliases.get(name, frozenset()):
                return
            with self._machine.effect(f"disconnect {container[:12]} {name}"):
                del found.networks[name]
        self._connect(found, endpoint)

    def connect_apart(self, container: str, endpoint: Endpoint) -> None:
        found = self._get(container)
        name, network = endpoint.network, self._machine.networks.get(endpoint.network)
        if name in found.networks:
            same_network = network is not None and found.networks[name] == network.id
            if same_network and not frozenset(endpoint.aliases) & found.aliases.get(name, frozenset()):
                return
            with self._machine.effect(f"disconnect {container[:12]} {name}"):
                del found.networks[name]
        self._connect(found, replace(endpoint, aliases=()))

    def _connect(self, found: FakeContainer, endpoint: Endpoint) -> None:
        name, network = endpoint.network, self._machine.networks.get(endpoint.network)
        with self._machine.effect(f"connect {found.id[:12]} {name}"):
            if network is None:
                raise _refused(f"network {name} not found", Reason.DEPENDENCY_NOT_READY)
            found.networks[name] = network.id
            found.aliases[name] = frozenset(endpoint.aliases)
            found.addresses |= {name: endpoint.ipv4} if endpoint.ipv4 else {}

    def remove(self, container: str) -> None:
        with self._machine.effect(f"remove {container[:12]}"):
            found = self._machine.containers.get(container)
            if found is None:
                return
            if found.active:
                raise Transient(Reason.ENGINE_UNAVAILABLE, f"the engine could not remove {found.name}: it is running")
            del self._machine.containers[container]

    # -- what the engine would say -----------------------------------------------------------------------------

    def _get(self, container: str) -> FakeContainer:
        found = self._machine.containers.get(container)
        if found is None:
            raise Transient(Reason.DEPENDENCY_NOT_READY, f"container {container[:12]} is gone")
        return found

    def _attached(self, network: str) -> list[FakeContainer]:
        return [item for item in self._machine.containers.values() if network in item.networks]

    def _refuse_if_impossible(self, container: FakeContainer) -> None:
        behaviour = self._machine.behaviour(container)
        if behaviour.refuses:
            container.exit_code = 127
            program = "exec" in behaviour.refuses or "no such file" in behaviour.refuses
            raise _refused(behaviour.refuses, Reason.CRASHED if program else Reason.ENGINE_REFUSED)
        for words in self._obstacles(container):
            raise _refused(words, Reason.DEPENDENCY_NOT_READY)
        if any(not self._runs(other) for other in container.namespaces):
            raise _refused("cannot join network of a non running container", Reason.DEPENDENCY_NOT_READY)
        if not self._machine.trees.issuperset(container.trees):
            raise _refused("bind source path does not exist", Reason.DEPENDENCY_NOT_READY)

    def _obstacles(self, container: FakeContainer) -> Iterable[str]:
        machine = self._machine
        for name, network in container.networks.items():
            if name not in machine.networks or machine.networks[name].id != network:
                yield f"network {network[:12]} not found"
        running = [item for item in machine.containers.values() if item.active and item is not container]
        held = {port: item.name for item in running for port in item.ports}
        held |= {port: item.name for item in machine.foreign.values() for port in item.ports}
        for port in holders(container.ports, held):
            yield f"Bind for {port[0] or '0.0.0.0'}:{port[1]} failed: port is already allocated"
        for port in holders(container.ports, machine.processes):
            yield f"listen {port[2]} {port[0] or '0.0.0.0'}:{port[1]}: bind: address already in use"
        taken = {place for item in running for place in item.addresses.items()}
        taken |= {
            (name, address)
            for name in container.addresses
            for held in (machine.networks[name].addresses.values() if name in machine.networks else ())
            for address in held
        }
        if taken & set(container.addresses.items()):
            yield "Address already in use"

    def _runs(self, container: str) -> bool:
        found = self._machine.containers.get(container)
        return found is not None and found.state == "running"


def _refused(words: str, reason: Reason) -> RolloutFailed:
    return RolloutFailed(Failure(reason, f"the engine refused: {words}"), "Fix the service in the commit.")
