"""Collects the steps of a plan, and follows the machine's state after each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import field
from itertools import takewhile

from reconciler.decide import footprint
from reconciler.decide.slots import STANDBY, Slot
from reconciler.model.desired import Condition, DesiredState, Service, ServiceKey
from reconciler.model.documents import START_FIRST
from reconciler.model.observed import Container, ObservedState
from reconciler.model.plan import Action, Change, Downtime, Step
from reconciler.values import dataclass


@dataclass(slots=True)
class Memory:
    """Memory of running containers, followed along the plan. All in bytes.

    `volumes`: sizes of the volumes in memory. Each counts once, while a running container mounts it.
    """

    foreign: int
    volumes: Mapping[str, int]
    total: int = 0
    running: dict[str, tuple[int, Collection[str]]] = field(default_factory=dict)
    users: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.total = self.foreign

    def start(self, container: str, size: int, mounts: Iterable[str]) -> None:
        """`size`: its limit and its overhead. `mounts`: its volumes; those in memory count."""
        self.stop(container)
        used = {name for name in mounts if name in self.volumes}
        self.running[container] = (size, used)
        self.total += size
        for name in used:
            self.users[name] = self.users.get(name, 0) + 1
            if self.users[name] == 1:
                self.total += self.volumes[name]

    def stop(self, container: str) -> None:
        size, used = self.running.pop(container, (0, ()))
        self.total -= size
        for name in used:
            self.users[name] -= 1
            if not self.users[name]:
                self.total -= self.volumes[name]


class PlanBuilder:
    """`grace`: seconds that a container may take to stop.

    `stopped`: containers (ids) that the plan has stopped so far; `renamed`: their names after it.

    `restarted_only`: all starts so far were restarts of unhealthy containers. `begun`: ids of containers that it
    starts, or stable names of new ones; `touched`: their services. `fallbacks`: services that asked for start-first and
    are replaced stop-first, and why; `untried`: those that asked for a trial and get none, and why.
    """

    def __init__(
        self, desired: DesiredState, observed: ObservedState, grace: Callable[[Container], float] = lambda item: 0.0
    ) -> None:
        self.desired, self._grace = desired, grace
        self.steps: list[Step] = []
        self.memory = Memory(
            sum(map(footprint.of_foreign, observed.foreign)),
            {**footprint.observed_volumes(observed), **footprint.wanted_volumes(desired)},
        )
        for item in observed.containers:
            if item.running:
                self.memory.start(item.id, footprint.of_container(item), footprint.mounted_by(item))
        self.stopped: set[str] = set()
        self.renamed: dict[str, str] = {}
        self.names = {item.name for item in observed.containers} | observed.others.keys()
        self.touched: set[ServiceKey] = set()
        self.started: list[tuple[Service, Slot]] = []
        self.begun: set[str] = set()
        self.awaited: set[tuple[ServiceKey, Condition]] = set()
        self.downtime: dict[ServiceKey, Downtime] = {}
        self.fallbacks: Mapping[ServiceKey, str] = {}
        self.untried: dict[ServiceKey, str] = {}
        self.restarted_only = True
        self._graces: dict[ServiceKey, float] = {}

    def add(
        self,
        action: Action,
        stack: str | None,
        service: str | None,
        container: str | None,
        cause: str,
        *,
        id: str | None = None,
        name: str | None = None,
        condition: Condition | None = None,
        change: Change | None = None,
        beside: int = 0,
        pause: float = 0.0,
    ) -> None:
        """`beside`: bytes that the step itself may use while it runs."""
        memory = self.memory.total + beside
        self.steps.append(Step(0, action, stack, service, container, cause, memory, id, name, condition, change, pause))

    def on_slot(
        self, action: Action, service: Service, slot: Slot, cause: str, name: str, change: Change | None = None
    ) -> None:
        """A step on the container of a slot, or on the one that is created for the slot. `name`: the container's new
        name."""
        item = slot.container.id if slot.container else None
        self.add(action, *service.key, slot.name, cause, id=item, name=name, change=change)

    def count_again(self, item: Container, service: Service) -> None:
        """Add the limits of a running container again."""
        if item.running:
            self.memory.start(item.id, footprint.of_service(service), footprint.mounted_by(item))

    def stop(self, item: Container, cause: str, name: str | None, pause: float = 0.0) -> None:
        self.memory.stop(item.id)
        self.stopped.add(item.id)
        if item.running:
            key = (item.stack, item.service)
            self._graces[key] = self._graces.get(key, 0.0) + self._grace(item)
        called = self.renamed.get(item.id, item.name)
        if name is not None:
            self.renamed[item.id] = name
        self.add(Action.STOP_CONTAINER, item.stack, item.service, called, cause, id=item.id, name=name, pause=pause)

    def standby(self, item: Container) -> str | None:
        if item.name.endswith(STANDBY):
            return None
        name = item.name + STANDBY
        name = name if name not in self.names else f"{item.name}.{item.id[:8]}{STANDBY}"
        self.names.add(name)
        return name

    def wait(self, service: Service, condition: Condition, cause: str) -> None:
        if (service.key, condition) not in self.awaited or condition is not Condition.COMPLETED:
            self.awaited.add((service.key, condition))
            if not self._just_waited(service, condition):
                self.add(Action.WAIT_HEALTHY, *service.key, service.name, cause, condition=condition)

    def _just_waited(self, service: Service, condition: Condition) -> bool:
        """Whether one of the waits at the end of the plan so far makes this one unnecessary."""
        waits = takewhile(lambda step: step.action is Action.WAIT_HEALTHY, reversed(self.steps))
        enough = (condition, Condition.HEALTHY) if condition is Condition.STARTED else (condition,)
        return any((step.stack, step.service) == service.key and step.condition in enough for step in waits)

    def note_downtime(self, service: Service) -> None:
        longest = self._graces.get(service.key, 0.0) + self.desired.gate(service.stack).healthy_deadline
        why, untried = self.fallbacks.get(service.key, ""), self.untried.get(service.key, "")
        self.downtime[service.key] = Downtime(service.stack, service.name, longest, why=why, untried=untried)

    def note_start_first(self, service: Service) -> None:
        self.downtime.setdefault(service.key, Downtime(service.stack, service.name, 0.0, START_FIRST))
