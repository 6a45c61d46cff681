"""One machine in memory that keeps the engine's and Compose's habits, in virtual time, and can suffer.

    machine = FakeMachine()
    machine.behave(image_or_spec, never_healthy())
    World(machine.observer, machine.applier, machine.clock)
    machine.trace, machine.peak, machine.overlaps, machine.snapshot()

`tests/contract` runs the same scenarios here and on a real engine, so that what holds here holds there.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from reconciler.effects import Effects
from reconciler.errors import Away
from reconciler.model.documents import LONGEST_STOP
from reconciler.model.engine import HOST, Engine
from reconciler.model.images import Image, ImageDefaults
from reconciler.model.observed import Foreign, ObservedNetwork, ObservedVolume
from reconciler.model.outcome import Reason
from reconciler.waiting import LOOK, attend
from tests.fakes.behaviour import STEADY, Behaviour
from tests.fakes.clock import VirtualClock
from tests.fakes.containers import FakeContainer

GIB = 1 << 30
LONGEST_RESTART_DELAY = 60.0


class Died(BaseException):
    """The process ended at an effect. No `except Exception` survives a SIGKILL, so none catches this."""


def die() -> None:
    raise Died


class FakeMachine:
    """Engine, Compose, images and trees. Survives the process: after Died, set new `effects` and continue.

    `trace`: every effect in order. `peak`: the largest sum of memory of running containers so far, in bytes.
    `overlaps`: moments at which two specs of one service ran on one writable volume, or two services on one that is
    `exclusive`. `images`: name → image; one without a name has its id as key. `built_for`: its builder's stack,
    service. `used_by_others`: ids of images that foreign containers use, stopped ones too. `image_volumes`: image id →
    targets that it declares as volumes. `image_checks`: image id → its health check in the engine's words.
    `addresses`: ranges that the machine itself uses → what for. `processes`: port → its holder outside the engine.
    `before_stop`: called with each container that the agent is about to stop. `fewest`, `most`: of the services in
    `count`, the smallest number of containers that served, and the largest that ran. `call_takes`: seconds of each
    call to the engine. `takes`: name of an image → seconds of its build or pull. `enforces`: whether the kernel has
    a memory controller.
    """

    def __init__(self, clock: VirtualClock | None = None, host: str = "mini") -> None:
        from tests.fakes.applier import FakeApplier
        from tests.fakes.observer import FakeHostFiles, FakeImages, FakeObserver

        self.clock = clock or VirtualClock()
        self.host = host
        self.effects = Effects()
        self.trace: list[str] = []
        self.overlaps: list[str] = []
        self.exclusive: frozenset[str] = frozenset()
        self.peak = 0
        self.fewest: dict[tuple[str, str], int] = {}
        self.most: dict[tuple[str, str], int] = {}
        self.before_stop: Callable[[FakeContainer], None] = lambda container: None
        self.call_takes = 0.0
        self.takes: dict[str, float] = {}
        self.memory_total = 16 * GIB
        self.enforces = True
        self.containers: dict[str, FakeContainer] = {}
        self.networks: dict[str, ObservedNetwork] = {}
        self.volumes: dict[str, ObservedVolume] = {}
        self.foreign: dict[str, Foreign] = {}
        self.processes: dict[tuple[str, int, str], str] = {}
        self.trees: set[str] = set()
        self.images: dict[str, Image] = {}
        self.registry: dict[str, Image] = {}
        self.built_for: dict[str, tuple[str, str]] = {}
        self.used_by_others: set[str] = set()
        self.image_volumes: dict[str, tuple[str, ...]] = {}
        self.image_checks: dict[str, dict[str, Any]] = {}
        self.registry_away = False
        self.build_failures: set[str] = set()
        self.observer = FakeObserver(self)
        self.applier = FakeApplier(self)
        self.image_list = FakeImages(self)
        self.host_files = FakeHostFiles()
        self.links: dict[str, str] = {}
        self.addresses: dict[str, str] = {}
        self._behaviours: dict[str, Behaviour] = {}
        self._agenda: list[tuple[float, int, Callable[[], object]]] = []
        self._frozen: dict[str, list[Callable[[], None]]] = {}
        self._order = itertools.count()
        self._ids = itertools.count(1)
        self._away_until = 0.0
        self._watchdogs: list[Callable[[str, str], None]] = []

    # -- what tests do to it -----------------------------------------------------------------------------------

    def behave(self, image_or_spec: str, behaviour: Behaviour) -> None:
        """From its next start on. A spec's behaviour wins over its image's."""
        self._behaviours[image_or_spec] = behaviour

    def crash_at(self, effect: int | None) -> None:
        """A new process, which dies at this effect (from 1), before performing it."""
        self.effects = Effects(effect, die)

    def go_away(self, seconds: float) -> None:
        """The engine answers nobody for so long, and every event stream breaks. Containers keep running."""
        self._away_until = self.clock.seconds + seconds
        self._tell("broken", "")

    def enters(self, foreign: str, network: str, address: str = "") -> None:
        """Somebody connects a foreign container to a network."""
        found, id = self.networks[network], self.foreign[foreign].id
        held = {**found.addresses, **({id: frozenset([address])} if address else {})}
        self.networks[network] = replace(found, containers=found.containers | {id}, addresses=held)

    def forget_foreign(self, name: str) -> None:
        """A foreign container is removed, and leaves its networks."""
        id = self.foreign.pop(name).id
        for network, found in self.networks.items():
            held = {key: value for key, value in found.addresses.items() if key != id}
            self.networks[network] = replace(found, containers=found.containers - {id}, addresses=held)

    def restart_engine(self, seconds: float) -> None:
        """The engine ends, and all containers with it; so many seconds later it is back, and starts those that it
        may."""
        ran = [item for item in self.containers.values() if item.active]
        for item in ran:
            self._end_life(item)
            item.state, item.exit_code = "exited", 137
        self.go_away(seconds)
        self.at(self.clock.seconds + seconds, lambda: self._revive(ran))

    def _revive(self, ran: Iterable[FakeContainer]) -> None:
        for item in ran:
            if item.restart in ("always", "unless-stopped") and item.id in self.containers and not item.active:
                self.run(item)

    def at(self, seconds: float, action: Callable[[], object]) -> None:
        """Do this when so many seconds have passed since the beginning."""
        heapq.heappush(self._agenda, (seconds, next(self._order), action))

    def break_streams(self) -> None:
        self._tell("broken", "")

    def named(self, name: str) -> FakeContainer:
        return next(item for item in self.containers.values() if item.name == name)

    def exits(self, name: str, code: int) -> None:
        self._exit(self.named(name), code)

    def runs_out_of_memory(self, name: str, kills: bool = False) -> None:
        self._run_out_of_memory(self.named(name), kills)

    def turns(self, name: str, health: str) -> None:
        self._turn(self.named(name), health)

    def pauses(self, name: str) -> None:
        container = self.named(name)
        container.state = "paused"
        self._tell("pause", container.id)

    def goes_on(self, container: FakeContainer) -> None:
        """No longer paused: events that were due meanwhile happen now."""
        if container.state == "paused":
            container.state = "running"
            for due in self._frozen.pop(container.id, []):
                due()

    @property
    def dropped(self) -> dict[str, int]:
        """Facts of limits that an engine without the memory controller accepts and drops."""
        return {} if self.enforces else {"memory": 0, "memory reservation": 0}

    def is_updated(self, name: str, **facts: Any) -> None:
        """Somebody's `docker update`, or a container with other settings: facts by name, `_` for a space."""
        container = self.named(name)
        container.restart = facts.pop("restart", container.restart)
        container.memory = facts.get("memory", container.memory)
        container.facts |= {fact.replace("_", " "): value for fact, value in facts.items()}
        self._tell("update", container.id)

    def is_renamed(self, container: FakeContainer, name: str) -> None:
        """The engine's name server forgets the container's names, and then learns them again."""
        known, container.aliases = container.aliases, {}
        self._measure()
        container.name, container.aliases = name, known

    def leaves(self, name: str, network: str) -> None:
        container = self.named(name)
        del container.networks[network]
        self._tell("disconnect", container.id)

    def vanishes(self, name: str) -> None:
        """Somebody removes the container by force."""
        container = self.named(name)
        self._end_life(container)
        del self.containers[container.id]
        self._tell("destroy", container.id)

    def add_foreign(self, name: str, memory: int, ports: Iterable[tuple[str, int, str]] = ()) -> None:
        self.foreign[name] = Foreign(self.new_id(), name, memory, tuple(ports))

    def advance(self, seconds: float) -> None:
        """Let time pass; everything happens at its moment."""
        until = self.clock.seconds + seconds
        while self._agenda and self._agenda[0][0] <= until:
            self.step()
        self.clock.seconds = max(self.clock.seconds, until)

    def count(self, *services: tuple[str, str]) -> None:
        """From now on, count the containers of these services (stack, service) anew."""
        self.fewest = {key: self.serving(key) for key in services}
        self.most = {key: self._running(key) for key in services}

    def serving(self, service: tuple[str, str]) -> int:
        """Containers of the service that serve."""
        return sum(map(self.serves, self._of(service)))

    @staticmethod
    def serves(item: FakeContainer) -> bool:
        """Whether a client finds it by its service's name, and it answers."""
        found = bool(item.networks) and all(item.service in item.aliases.get(name, ()) for name in item.networks)
        return found and item.state == "running" and item.health in ("healthy", "none")

    def _running(self, service: tuple[str, str]) -> int:
        return sum(item.active for item in self._of(service))

    def _of(self, service: tuple[str, str]) -> Iterator[FakeContainer]:
        return (item for item in self.containers.values() if (item.stack, item.service) == service)

    def snapshot(self) -> dict[str, Any]:
        """Everything that must be equal before and after a commit that was rolled back."""
        return {
            "containers": {
                item.name: (item.id, item.state, item.spec, item.restart, tuple(sorted(item.networks)))
                for item in self.containers.values()
            },
            "networks": {name: network.digest for name, network in self.networks.items()},
            "volumes": sorted(self.volumes),
        }

    # -- what the adapters do to it ----------------------------------------------------------------------------

    @contextmanager
    def effect(self, name: str) -> Iterator[None]:
        """One change: announced, then performed unless the engine is away."""
        self.effects.point(name)
        self.trace.append(name)
        self.answer()
        yield
        self._measure()

    def answer(self) -> None:
        """The beginning of every call: it takes its time, and fails while the engine is away."""
        if self.call_takes:
            self.advance(self.call_takes)
        if self.clock.seconds < self._away_until:
            raise Away(Reason.ENGINE_UNAVAILABLE, "the engine does not answer", "Is it running?")

    def listen(self, watchdog: Callable[[str, str], None]) -> Callable[[], None]:
        """Call this at every event (action, container id) until the returned function is called."""
        self._watchdogs.append(watchdog)
        return lambda: self._watchdogs.remove(watchdog)

    def next_at(self) -> float | None:
        """The time of the next scheduled event."""
        return self._agenda[0][0] if self._agenda else None

    def step(self) -> None:
        """Jump to the next scheduled event."""
        at, _, action = heapq.heappop(self._agenda)
        self.clock.seconds = max(self.clock.seconds, at)
        action()

    def new_id(self) -> str:
        return hashlib.sha256(str(next(self._ids)).encode()).hexdigest()

    def behaviour(self, container: FakeContainer) -> Behaviour:
        return self._behaviours.get(container.spec or "", self._behaviours.get(container.image, STEADY))

    @property
    def engine(self) -> Engine:
        """As it states itself."""
        return Engine(
            product="Docker Engine", version="28.1.0", api="1.44", oldest_api="1.24", newest_api="1.49",
            rootless=False, storage="overlay2", cgroup="2", limits=self.enforces, swap=self.enforces, machine=HOST,
            memory=self.memory_total,
        )  # fmt: skip

    def image_defaults(self, image: str) -> ImageDefaults:
        return ImageDefaults(volumes=self.image_volumes.get(image, ()), healthcheck=self.image_checks.get(image, {}))

    def running_memory(self) -> int:
        """Memory of all containers that run, are paused or restart, in bytes; foreign ones, too."""
        ours = sum(item.memory for item in self.containers.values() if item.active)
        return ours + sum(item.memory for item in self.foreign.values())

    def run(self, container: FakeContainer) -> None:
        """Begin a life; the behaviour's events are scheduled."""
        container.life += 1
        container.starts += 1
        container.state, container.oom_killed, container.exit_code = "running", False, 0
        container.health = "starting" if container.healthcheck else "none"
        container.unhealthy_since, container.leaving = None, False
        container.started_at = self.clock.text(container.starts % 1000)
        self._note_overlaps(container)
        self._measure()
        self._tell("start", container.id)
        self._script(container, self.behaviour(container))

    def halt(self, container: FakeContainer, grace: float) -> None:
        """Ask it to stop: the signal, its own time or the grace period, no restart. If the wait is ended, it stays
        so."""
        behaviour = self.behaviour(container)
        container.leaving = True
        self._tell("kill", container.id)
        if container.state == "restarting":
            self._end_life(container)
            container.state = "exited"
            return
        takes = float("inf") if behaviour.ignores_stop else behaviour.stop_takes
        if takes <= LONGEST_STOP:
            self._later(container, takes, lambda: self._exit(container, 0))
        self.is_busy(grace, lambda: container.active and container.id in self.containers)
        if container.active:
            self._tell("kill", container.id)
            self._exit(container, 137)

    def is_busy(self, seconds: float, needed: Callable[[], bool] = lambda: True) -> None:
        """A call takes so long, or while it is `needed`; the wait can be ended."""
        until = self.clock.seconds + seconds
        while needed() and self.clock.seconds < until:
            attend()
            look = min(until, self.clock.seconds + LOOK)
            due = self.next_at()
            if due is not None and due <= look:
                self.step()
            else:
                self.clock.seconds = max(self.clock.seconds, look)

    # -- lives -------------------------------------------------------------------------------------------------

    def _script(self, container: FakeContainer, behaviour: Behaviour) -> None:
        if container.healthcheck:
            for after, health in behaviour.health:
                self._later(container, after, partial(self._turn, container, health))
        if behaviour.oom_after is not None:
            self._later(container, behaviour.oom_after, lambda: self._run_out_of_memory(container, behaviour.oom_kills))
        end = behaviour.exit_of_start(container.starts)
        if self._lacks(container, behaviour):
            end = (0.1, 1)
        if end is not None:
            after, code = end
            self._later(container, after, lambda: self._exit(container, code))

    def _lacks(self, container: FakeContainer, behaviour: Behaviour) -> bool:
        running = {
            item.service
            for item in self.containers.values()
            if item.stack == container.stack and item.state == "running" and item.health in ("healthy", "none")
        }
        return not set(behaviour.needs) <= running

    def _later(self, container: FakeContainer, seconds: float, action: Callable[[], None]) -> None:
        life = container.life

        def in_this_life() -> None:
            if container.life == life and container.id in self.containers:
                if container.state == "paused":
                    self._frozen.setdefault(container.id, []).append(in_this_life)
                else:
                    action()

        heapq.heappush(self._agenda, (self.clock.seconds + seconds, next(self._order), in_this_life))

    def _turn(self, container: FakeContainer, health: str) -> None:
        if container.state == "running" and container.healthcheck and container.health != health:
            container.health = health
            container.unhealthy_since = self.clock.seconds if health == "unhealthy" else None
            self._measure()
            self._tell("health_status", container.id)

    def _run_out_of_memory(self, container: FakeContainer, kills: bool) -> None:
        self._tell("oom", container.id)
        container.oom_killed = True
        if kills:
            self._exit(container, 137)

    def _exit(self, container: FakeContainer, code: int) -> None:
        self._end_life(container)
        container.state, container.exit_code = "exited", code
        self._tell("die", container.id)
        if self._restarts(container, code):
            container.state = "restarting"
            delay = min(LONGEST_RESTART_DELAY, 0.1 * 2**container.restart_count)
            self._later(container, delay, lambda: self._restart(container))
        self._measure()

    def _restart(self, container: FakeContainer) -> None:
        container.restart_count += 1
        self.run(container)

    @staticmethod
    def _restarts(container: FakeContainer, code: int) -> bool:
        if container.leaving:
            return False
        name, _, most = container.restart.partition(":")
        if name == "on-failure":
            return code != 0 and (not most or container.restart_count < int(most))
        return name in ("always", "unless-stopped")

    @staticmethod
    def _end_life(container: FakeContainer) -> None:
        container.life += 1
        container.health = "none"

    # -- what is watched ---------------------------------------------------------------------------------------

    def _tell(self, action: str, container: str) -> None:
        for watchdog in list(self._watchdogs):
            watchdog(action, container)

    def _measure(self) -> None:
        self.peak = max(self.peak, self.running_memory())
        for key in self.fewest:
            self.fewest[key] = min(self.fewest[key], self.serving(key))
            self.most[key] = max(self.most[key], self._running(key))

    def _note_overlaps(self, started: FakeContainer) -> None:
        written = {mount.source for mount in started.mounts if mount.writable and mount.kind != "tmpfs"}
        for other in self.containers.values():
            same = (other.stack, other.service) == (started.stack, started.service)
            by_hand = None in (started.spec, other.spec)
            other_holder = other.id != started.id and other.active and not same
            held = {mount.source for mount in other.mounts if mount.writable} & written & self.exclusive
            if other_holder and held:
                self.overlaps.append(f"{started.name} and {other.name} on {', '.join(sorted(held))}")
            if same and other.id != started.id and other.active and other.spec != started.spec and not by_hand:
                both = written & {mount.source for mount in other.mounts if mount.writable}
                if both:
                    self.overlaps.append(f"{started.name} and {other.name} on {', '.join(sorted(both))}")
