"""The machine in memory, seen through `loop.ports.Observer`, `Watch` and `Images`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.model.addresses import Claim
from reconciler.model.files import Entry
from reconciler.model.images import Image, ImageDefaults, ImageWant
from reconciler.model.observed import KILL, OOM, Container, ObservedNetwork, ObservedState
from reconciler.model.ports import CONTAINER
from reconciler.model.stock import InUse, StoredImage
from reconciler.model.ways import Way
from reconciler.observe.blobs import blob_id
from reconciler.observe.host import holders

if TYPE_CHECKING:
    from tests.fakes.containers import FakeContainer
    from tests.fakes.machine import FakeMachine

Port = tuple[str, int, str]


class FakeObserver:
    def __init__(self, machine: FakeMachine) -> None:
        self._machine = machine

    def look(self, stacks: Iterable[str]) -> ObservedState:
        self._machine.answer()
        wanted = frozenset(stacks)
        return ObservedState(containers=_sorted(c.sparse() for c in self._all() if c.stack in wanted))

    def inspect(self, stacks: Iterable[str]) -> ObservedState:
        self._machine.answer()
        wanted, machine = frozenset(stacks), self._machine
        return ObservedState(
            containers=_sorted(self._full(c) for c in self._all() if c.stack in wanted),
            foreign=tuple(sorted(machine.foreign.values(), key=lambda item: item.name)),
            networks={name: self._with_containers(network) for name, network in machine.networks.items()},
            volumes=dict(machine.volumes),
            memory_total=machine.memory_total,
            complete=True,
            log_driver="json-file",
            engine=machine.engine,
            images={c.image: machine.image_defaults(c.image) for c in self._all() if c.stack in wanted},
            others={c.name: c.stack for c in self._all() if c.stack not in wanted} | dict.fromkeys(machine.foreign, ""),
        )

    def in_use(self) -> InUse:
        self._machine.answer()
        images = {item.image for item in self._all()} | self._machine.used_by_others
        sources = {f"/state/trees/{tree}" for item in self._all() for tree in item.trees}
        return InUse(frozenset(images), frozenset(sources))

    def details(self, ids: Iterable[str]) -> Mapping[str, Container]:
        self._machine.answer()
        known = self._machine.containers
        return {container: self._full(known[container]) for container in ids if container in known}

    def defaults(self, images: Iterable[str]) -> Mapping[str, ImageDefaults]:
        self._machine.answer()
        return {image: self._machine.image_defaults(image) for image in images}

    def _full(self, container: FakeContainer) -> Container:
        since = container.unhealthy_since if container.state == "running" else None
        seconds = 0.0 if since is None else self._machine.clock.seconds - since
        return replace(container.full(), unhealthy_for=seconds)

    def usage(self, ids: Iterable[str]) -> Mapping[str, int]:
        self._machine.answer()
        known = self._machine.containers
        return {c: known[c].memory // 2 for c in ids if c in known and known[c].state == "running"}

    def watch(self) -> FakeWatch:
        return FakeWatch(self._machine)

    def logs(self, container: str, lines: int) -> tuple[str, ...]:
        self._machine.answer()
        found = self._machine.containers.get(container)
        return self._machine.behaviour(found).log[-lines:] if found and found.starts else ()

    def health_output(self, container: str) -> str | None:
        self._machine.answer()
        found = self._machine.containers.get(container)
        if found is None or not found.healthcheck or not found.starts:
            return None
        return self._machine.behaviour(found).probe

    def addresses_used(self, without: Collection[str], hosts: Iterable[str]) -> list[Claim]:
        self._machine.answer()
        return [Claim(text, what) for text, what in self._machine.addresses.items()]

    def ports_taken(self, ports: Iterable[Port]) -> Mapping[Port, str]:
        self._machine.answer()
        held = {p: f"{CONTAINER}{item.name}" for item in self._machine.foreign.values() for p in item.ports}
        held |= {port: f"process {name}" for port, name in self._machine.processes.items()}
        return holders(ports, held)

    def _with_containers(self, network: ObservedNetwork) -> ObservedNetwork:
        ours = frozenset(c.id for c in self._all() if network.name in c.networks)
        running = {c.id: c.addresses.get(network.name) for c in self._all() if c.active and c.id in ours}
        addresses = {id: frozenset(filter(None, [address])) for id, address in running.items()}
        return replace(network, containers=network.containers | ours, addresses={**network.addresses, **addresses})

    def _all(self) -> Iterable[FakeContainer]:
        return self._machine.containers.values()


class FakeWatch:
    """Waiting moves the clock to the next event, or to the end of the timeout."""

    def __init__(self, machine: FakeMachine) -> None:
        self._machine = machine
        self._news = False
        self._broken = False
        self._events: dict[str, set[str]] = {}
        self._touched: set[str] = set()

    def __enter__(self) -> FakeWatch:
        self._machine.answer()
        self._stop = self._machine.listen(self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def wait(self, timeout: float) -> bool:
        until = self._machine.clock.seconds + max(0.0, timeout)
        while not self._news:
            at = self._machine.next_at()
            if at is None or at > until:
                self._machine.clock.seconds = max(self._machine.clock.seconds, until)
                break
            self._machine.step()
        whole = not self._broken
        self._news = self._broken = False
        return whole

    def events(self) -> dict[str, set[str]]:
        return self._events

    def touched(self) -> frozenset[str]:
        touched, self._touched = self._touched, set()
        return frozenset(touched)

    def _hear(self, action: str, container: str) -> None:
        self._news = True
        self._touched.add(container)
        if action == "broken":
            self._broken = True
        elif action in (OOM, KILL):
            self._events.setdefault(container, set()).add(action)


class FakeHostFiles:
    """`contents`: path on the machine → text. Files in `touched` were written after every start. `known`: path → its
    target; for others nothing is known."""

    def __init__(self) -> None:
        self.contents: dict[str, str] = {}
        self.touched: set[str] = set()
        self.known: dict[str, Way] = {}

    def filled(self, paths: Iterable[str], links: Mapping[str, str]) -> frozenset[str]:
        return frozenset(path for path in paths if any(f"{name}/".startswith(f"{path}/") for name in self.contents))

    def ways(self, paths: Iterable[str], links: Mapping[str, str]) -> Mapping[str, Way]:
        return {path: self.known[path] for path in paths if path in self.known}

    def holds(self, path: str, entries: Mapping[str, Entry], since: str) -> bool:
        names = {f"{path}/{name}" if name else path: entry for name, entry in entries.items()}
        return all(
            name not in self.touched and name in self.contents and entry.oid == blob_id(self.contents[name].encode())
            for name, entry in names.items()
        )


class FakeImages:
    """`loop.ports.Images` over `machine.images`."""

    def __init__(self, machine: FakeMachine) -> None:
        self._machine = machine

    def local(self, wants: Sequence[ImageWant]) -> Mapping[str, Image]:
        self._machine.answer()
        names = {want.key: want.tag if want.build is not None else want.ref for want in wants}
        known = {image.id: image for image in self._machine.images.values()} | self._machine.images
        return {key: known[name] for key, name in names.items() if name in known}

    def stored(self) -> Sequence[StoredImage]:
        self._machine.answer()
        names: dict[str, list[str]] = {}
        for name, image in self._machine.images.items():
            names.setdefault(image.id, []).append(name)
        builders = {image: self._machine.built_for.get(image, ("", "")) for image in names}
        listed = {image: tuple(sorted(item for item in names[image] if item != image)) for image in names}
        known = frozenset(name.rpartition(":")[0] for name in self._machine.registry)
        return [StoredImage(image, listed[image], *builders[image], known) for image in sorted(names)]


def _sorted(found: Iterable[Container]) -> tuple[Container, ...]:
    return tuple(sorted(found, key=lambda item: (item.stack, item.service, item.number, item.id)))
