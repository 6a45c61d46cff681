"""The steps of a plan as they are written down, and what is true of the machine after them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile

from reconciler.decide.slots import STANDBY, Slot
from reconciler.model.desired import Condition, DesiredState, Service, ServiceKey
from reconciler.model.observed import Container, ObservedState
from reconciler.model.plan import Action, Change, Downtime, Step


@dataclass(slots=True)
class Memory:
    """What is promised to running containers, followed along the plan."""

    running: dict[str, int]
    foreign: int
    total: int = 0

    def __post_init__(self) -> None:
        self.total = self.foreign + sum(self.running.values())

    def start(self, container: str, limit: int) -> None:
        self.stop(container)
        self.running[container] = limit
        self.total += limit

    def stop(self, container: str) -> None:
        self.total -= self.running.pop(container, 0)


class Sheet:
    """`grace`: seconds that a container has to stop in.

    `stopped`: containers (ids) that the plan has stopped so far; `renamed`: their names after it.

    `restarted_only`: whatever it has started so far had run until then, and ailed.
    `begun`: ids of what it starts, or stable names of what has still to be created; `touched`: their services.
    """

    def __init__(
        self, desired: DesiredState, observed: ObservedState, grace: Callable[[Container], float] = lambda item: 0.0
    ) -> None:
        self.desired, self._grace = desired, grace
        self.steps: list[Step] = []
        self.memory = Memory(
            {item.id: item.memory for item in observed.containers if item.running},
            sum(item.memory for item in observed.foreign),
        )
        self.stopped: set[str] = set()
        self.renamed: dict[str, str] = {}
        self.names = {item.name for item in observed.containers} | observed.others.keys()
        self.touched: set[ServiceKey] = set()
        self.started: list[tuple[Service, Slot]] = []
        self.begun: set[str] = set()
        self.awaited: set[tuple[ServiceKey, Condition]] = set()
        self.downtime: dict[ServiceKey, Downtime] = {}
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
    ) -> None:
        """`beside`: bytes that the step itself may take while it lasts."""
        memory = self.memory.total + beside
        self.steps.append(Step(0, action, stack, service, container, cause, memory, id, name, condition, change))

    def promise(self, item: Container, limit: int) -> None:
        """A container that runs is held to another limit."""
        if item.running:
            self.memory.start(item.id, limit)

    def stop(self, item: Container, cause: str, name: str | None) -> None:
        self.memory.stop(item.id)
        self.stopped.add(item.id)
        if item.running:
            key = (item.stack, item.service)
            self._graces[key] = self._graces.get(key, 0.0) + self._grace(item)
        if name is not None:
            self.renamed[item.id] = name
        self.add(Action.STOP_CONTAINER, item.stack, item.service, item.name, cause, id=item.id, name=name)

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
        """Whether one of the waits at the end of the plan so far is as good."""
        waits = takewhile(lambda step: step.action is Action.WAIT_HEALTHY, reversed(self.steps))
        enough = (condition, Condition.HEALTHY) if condition is Condition.STARTED else (condition,)
        return any((step.stack, step.service) == service.key and step.condition in enough for step in waits)

    def note_downtime(self, service: Service) -> None:
        longest = self._graces.get(service.key, 0.0) + self.desired.gate(service.stack).healthy_deadline
        self.downtime[service.key] = Downtime(service.stack, service.name, service.order, longest)
