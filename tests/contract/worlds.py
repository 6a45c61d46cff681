"""The two machines of the contract: the one in memory, and the real engine with a given Compose version."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from reconciler.errors import ReconcilerError
from reconciler.loop.ports import Clock, Observer
from reconciler.model.creation import Creation
from reconciler.model.desired import Endpoint, Network, Service, Stack, Volume
from reconciler.model.observed import Container
from tests.contract import services
from tests.fakes.behaviour import STEADY, Behaviour
from tests.fakes.machine import FakeMachine


class Switching(Protocol):
    """The part of `loop.ports.Applier` that the contract covers."""

    def create_network(self, network: Network) -> None: ...
    def remove_network(self, name: str) -> None: ...
    def create_volume(self, volume: Volume) -> None: ...
    def create(self, stack: Stack, services: Sequence[Creation], existing: Mapping[str, int]) -> None: ...
    def start(self, container: str) -> None: ...
    def start_all(self, containers: Sequence[str]) -> Mapping[str, ReconcilerError]: ...
    def stop(self, container: str, grace: float) -> None: ...
    def rename(self, container: str, name: str) -> None: ...
    def update(self, container: str, restart: str) -> None: ...
    def update_all(self, policies: Mapping[str, str]) -> None: ...
    def connect(self, container: str, endpoint: Endpoint) -> None: ...
    def remove(self, container: str) -> None: ...


class RealClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass
class World:
    """One stack on one machine. `images`: name → id; `foreign` starts a foreign container on a port. `restarts`: how
    often a container's policy has started it again."""

    stack: str
    observer: Observer
    applier: Any
    clock: Clock
    images: Mapping[str, str]
    foreign: Callable[[str, int], None]
    restarts: Callable[[str], int]
    machine: FakeMachine | None = None
    networks: list[Network] = field(default_factory=list)

    def service(self, name: str, behaviour: Behaviour = STEADY, image: str = "actor", **options: Any) -> Service:
        made = services.service(self.stack, name, self.images[image], behaviour, **options)
        if self.machine is not None:
            self.machine.behave(made.spec, behaviour)
        return made

    def create(
        self, service: Service, count: int = 1, *,
        anonymous: Mapping[str, str] | None = None, sharing: Mapping[str, str] | None = None,
    ) -> list[Container]:  # fmt: skip
        """Create `count` more containers of the service. They are returned, inspected, in order."""
        before = self.containers(service.name)
        creation = Creation(service, count, anonymous or {}, sharing or {})
        stack = Stack(self.stack, (service,), tuple(self.networks), ())
        self.applier.create(stack, [creation], {service.name: len(before)})
        known = {item.id for item in before}
        return [item for item in self.containers(service.name) if item.id not in known]

    def network(self, definition: Mapping[str, Any] | None = None) -> Network:
        """Make the stack's default network. Another definition replaces the first."""
        wanted = services.network(self.stack, definition=definition)
        self.networks[:] = [wanted]
        self.applier.create_network(wanted)
        return wanted

    def created(self, name: str, behaviour: Behaviour = STEADY, **options: Any) -> Container:
        return self.create(self.service(name, behaviour, **options))[0]

    def started(self, name: str, behaviour: Behaviour = STEADY, **options: Any) -> Container:
        container = self.created(name, behaviour, **options)
        self.applier.start(container.id)
        return self.detail(container.id)

    def ready(self, name: str, behaviour: Behaviour = STEADY) -> Container:
        """Started, and its program has printed its first line, after which it handles signals."""
        container = self.started(name, behaviour)
        deadline = self.clock.monotonic() + 60
        while not self.observer.logs(container.id, 1) and self.clock.monotonic() < deadline:
            self.elapse(0.1)
        return container

    def containers(self, name: str) -> list[Container]:
        found = self.observer.look([self.stack]).of(self.stack, name)
        details = self.observer.details([item.id for item in found])
        return sorted(details.values(), key=lambda item: item.number)

    def detail(self, container: str) -> Container:
        return self.observer.details([container])[container]

    def until(self, container: str, condition: Callable[[Container], bool], seconds: float = 60.0) -> Container:
        """Wait for it, woken by the machine's events; the assertion shows the container's state instead."""
        deadline = self.clock.monotonic() + seconds
        with self.observer.watch() as watch:
            while not condition(self.detail(container)) and self.clock.monotonic() < deadline:
                watch.wait(min(0.5, deadline - self.clock.monotonic()))
        found = self.detail(container)
        assert condition(found), found
        return found

    def elapse(self, seconds: float) -> None:
        """Let that much time pass, whatever happens meanwhile."""
        deadline = self.clock.monotonic() + seconds
        with self.observer.watch() as watch:
            while (left := deadline - self.clock.monotonic()) > 0:
                watch.wait(left)
