"""Replaces containers start-first: a new one starts beside the old one, without the service's aliases, and gets them
once it is healthy. Then the old one stops.

The same steps lead forward and back: in a rollback the new one is the standby.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from reconciler.decide import footprint
from reconciler.decide.drift.facts import aliases_missing
from reconciler.decide.plan.builder import PlanBuilder
from reconciler.decide.plan.diff import StateDiff
from reconciler.decide.plan.orders import NO_MEMORY, alone, drain_of, found_by_labels, update_of
from reconciler.decide.slots import STANDBY, Pairing, Slot
from reconciler.model.desired import Condition, Service, ServiceKey, Update
from reconciler.model.documents import START_FIRST
from reconciler.model.observed import Container
from reconciler.model.plan import Action, Change
from reconciler.values import dataclass

TAKES_OVER = "takes over"
"""The cause of the steps that give a healthy container the service's aliases and its name."""


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What `Switching` does for both orders."""

    await_dependencies: Callable[[Service], None]
    stop_holders: Callable[[Service], None]
    clear_name: Callable[[Slot], None]
    start_cause: Callable[[Slot], str]


class StartFirst:
    """`keys`: services that are replaced so. `fallbacks`: those that asked for it and cannot be, with the reason.

    `surges`: (service, bytes after the step) of each start beside an old container.
    """

    def __init__(
        self, diff: StateDiff, builder: PlanBuilder, callbacks: Callbacks, cramped: Collection[ServiceKey]
    ) -> None:
        """`cramped`: services for which there is not enough memory."""
        self._diff, self._builder, self._do = diff, builder, callbacks
        self.keys: set[ServiceKey] = set()
        self.fallbacks: dict[ServiceKey, str] = {}
        self.surges: list[tuple[ServiceKey, int]] = []
        for service in diff.order:
            update = update_of(service, diff)
            if update.order == START_FIRST:
                why = alone(service, update, diff) or (NO_MEMORY if service.key in cramped else "")
                if why:
                    self.fallbacks[service.key] = why
                else:
                    self.keys.add(service.key)

    def applies(self, pairing: Pairing) -> bool:
        """Whether the service is replaced start-first now: an old container still serves, and a new one has to take
        over."""
        if pairing.service.key not in self.keys:
            return False
        serving = [slot.container for slot in pairing.slots if slot.container and self._runs(slot.container)]
        return bool(self._olds(pairing) or (serving and pairing.missing))

    def replace(self, pairing: Pairing) -> None:
        """Replace as many containers at a time as `parallelism` says. At every moment at least as many containers serve
        as before, or as are asked for."""
        service, olds = pairing.service, self._olds(pairing)
        update = update_of(service, self._diff)
        todo = [slot for slot in pairing.slots if not self._has_taken_over(service, slot)]
        if olds and todo:
            self._builder.note_start_first(service)
        self._do.stop_holders(service)
        serving = len(pairing.slots) - len(todo)
        self._stop_unused(service, olds)
        self._stop_left_over(service, update, olds, serving if todo else 0, len(pairing.slots))
        for number, group in enumerate(groups(todo, update.parallelism)):
            self._start(service, group, update.delay if number else 0.0)
            self._take_over(service, group)
            serving += len(group)
            replaced = partners(group, olds, len(pairing.slots) - serving)
            drained = self._exchange_names(service, update, group, replaced)
            self._stop(service, update, replaced, "replaced", drained=drained)
        self._stop(service, update, olds, "too many")

    def _stop_unused(self, service: Service, olds: list[Container]) -> None:
        """Stop candidates of another commit that do not serve yet: the new ones need their memory."""
        unused = [item for item in olds if _lacks_name(service, item)]
        if len(unused) < len(olds):
            for item in unused:
                self._builder.stop(item, "it has not taken over", None)
                olds.remove(item)

    def _stop_left_over(
        self, service: Service, update: Update, olds: list[Container], serving: int, wanted: int
    ) -> None:
        """Stop containers that are replaced already, but that a killed agent left running. Otherwise more would run
        than `parallelism` allows."""
        number = min(serving, len(olds) + serving - wanted)
        if number > 0:
            self._await_proof(service)
            left_over = sorted(olds, key=lambda item: not item.name.endswith(STANDBY))[:number]
            self._stop(service, update, left_over, "replaced")
            for item in left_over:
                olds.remove(item)

    def unfinished(self, service: Service, slot: Slot) -> bool:
        """Whether the slot's container runs and has not taken over yet."""
        runs = slot.container is not None and self._runs(slot.container)
        return runs and not self._has_taken_over(service, slot)

    def _olds(self, pairing: Pairing) -> list[Container]:
        return [item for item in pairing.extras if self._runs(item)]

    def _runs(self, item: Container) -> bool:
        return item.running and item.id not in self._builder.stopped

    def _has_taken_over(self, service: Service, slot: Slot) -> bool:
        """Whether the slot's container serves under its name. False for one that an interrupted rollout has started: it
        may lack its aliases or its name."""
        item = slot.container
        if item is None or not self._runs(item):
            return False
        return item.name == slot.name and not any(aliases_missing(end, item) for end in service.endpoints)

    def _start(self, service: Service, group: Sequence[Slot], delay: float) -> None:
        starting = [slot for slot in group if slot.container is None or not self._runs(slot.container)]
        if starting:
            self._do.await_dependencies(service)
        change = None if found_by_labels(service) or not service.endpoints else Change.APART
        for slot in group:
            if slot.container is not None and self.unfinished(service, slot):
                self._reconnect(service, slot, slot.container)
        for slot in starting:
            item = slot.container
            key = item.id if item else slot.name
            self._builder.memory.start(key, footprint.of_service(service), footprint.mounted(service.config))
            self._builder.add(
                Action.START_CONTAINER,
                *service.key,
                slot.name,
                self._do.start_cause(slot),
                id=item.id if item else None,
                change=change,
                pause=delay if slot is starting[0] else 0.0,
            )
            self.surges.append((service.key, self._builder.memory.total))
            self._builder.started.append((service, slot))
            self._builder.restarted_only = False
            self._builder.begun.add(key)
            self._builder.touched.add(service.key)
        self._await_proof(service)

    def _await_proof(self, service: Service) -> None:
        condition = Condition.HEALTHY if service.healthcheck else Condition.STARTED
        self._builder.wait(service, condition, "proves itself")

    def _reconnect(self, service: Service, slot: Slot, item: Container) -> None:
        """An agent was killed while it gave this container its aliases: the container runs without this network, so it
        could not be judged."""
        for endpoint in service.endpoints:
            if endpoint.network not in self._diff.connected(item):
                cause = f"lost network {endpoint.network}"
                self._builder.on_slot(Action.JOIN_ALIAS, service, slot, cause, endpoint.network, Change.APART)

    def _take_over(self, service: Service, group: Iterable[Slot]) -> None:
        for slot in group if not found_by_labels(service) else ():
            item = slot.container
            for endpoint in service.endpoints:
                if item is None or item.id in self._builder.begun or aliases_missing(endpoint, item):
                    self._builder.on_slot(Action.JOIN_ALIAS, service, slot, TAKES_OVER, endpoint.network)

    def _exchange_names(
        self, service: Service, update: Update, group: Sequence[Slot], olds: Sequence[Container]
    ) -> bool:
        """Rename old and new containers after the drain, before the old ones stop: the engine's name server does not
        know a container for a moment while it is renamed, and then the other one has to serve. Returns whether the
        drain is over."""
        names = {item.id: self._builder.standby(item) for item in olds}
        drain, told = self._drain(service, update, olds)
        for item in olds:
            name = names[item.id]
            if name is not None:
                self._builder.renamed[item.id] = name
                cause = f"its successor takes its name{told}"
                self._builder.add(
                    Action.UPDATE_CONTAINER, *service.key, item.name, cause, id=item.id, name=name, pause=drain
                )
                drain, told = 0.0, ""
        for slot in group:
            new = slot.container
            if new is None or new.name != slot.name:
                self._do.clear_name(slot)
                if new is not None:
                    self._builder.renamed[new.id] = slot.name
                self._builder.on_slot(Action.UPDATE_CONTAINER, service, slot, TAKES_OVER, slot.name)
        return any(names.values())

    def _stop(
        self, service: Service, update: Update, olds: Sequence[Container], cause: str, *, drained: bool = False
    ) -> None:
        drain, told = (0.0, "") if drained else self._drain(service, update, olds)
        for item in olds:
            self._builder.stop(item, cause + told, None, drain)
            drain, told = 0.0, ""

    def _drain(self, service: Service, update: Update, olds: Iterable[Container]) -> tuple[float, str]:
        """Seconds, and the words for them. Containers that do not serve need no drain."""
        seconds = drain_of(service, update) if any(map(self._serves, olds)) else 0.0
        return seconds, f" after a drain of {seconds:g} s" if seconds else ""

    def _serves(self, item: Container) -> bool:
        key = (item.stack, item.service)
        known = (states.get(key) for states in (self._diff.services, self._diff.known))
        service = next((service for service in known if service and service.spec == item.spec), None)
        found = service is None or not any(aliases_missing(end, item) for end in service.endpoints)
        return found and item.state == "running" and item.health in ("none", "healthy")


def _lacks_name(service: Service, item: Container) -> bool:
    """Whether no client finds the container by the service's name in the service's networks."""
    networks = item.facts.get("networks") or {}
    there = [networks[endpoint.network] for endpoint in service.endpoints if endpoint.network in networks]
    return bool(there) and not any(item.service in known["aliases"] for known in there)


def groups(slots: Sequence[Slot], parallelism: int) -> Iterator[Sequence[Slot]]:
    """The slots in groups of `parallelism`; 0: all in one group."""
    size = parallelism or max(1, len(slots))
    for first in range(0, len(slots), size):
        yield slots[first : first + size]


def partners(group: Sequence[Slot], olds: list[Container], keep: int = 0) -> list[Container]:
    """The containers that the slots replace: for each the one with its name, else any, as long as more than `keep` are
    left. The partners are taken out of `olds`."""
    found: dict[str, Container] = {}
    for slot in group:
        same = next((item for item in olds if item.name == slot.name), None)
        if same is not None:
            olds.remove(same)
            found[slot.name] = same
    for slot in group:
        if slot.name not in found and len(olds) > keep:
            found[slot.name] = olds.pop(0)
    return [found[slot.name] for slot in group if slot.name in found]
