"""From what is there to what is wanted, in order. One planner for advancing, reverting, repairing and resuming."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from reconciler.decide.slots import STANDBY, Pairing, Slot, completed, pair, removed
from reconciler.model.desired import Condition, DesiredState, Network, Service, ServiceKey
from reconciler.model.observed import COMPOSE_PROJECT, LABEL_HOST, Container, ObservedState
from reconciler.model.outcome import Intent, Level, Reason, Violation
from reconciler.model.plan import Action, Downtime, Plan, Step

PEAK = "memory-peak"
"""The rule that a plan breaks whose steps would promise too much memory."""


def settled(desired: DesiredState, observed: ObservedState, ran_once: frozenset[str]) -> bool:
    """Whether a sparse look already shows that nothing is to be done."""
    if removed(desired, observed):
        return False
    return all(_settled(pairing) for pairing in pair(desired, observed, ran_once).values())


def plan(
    desired: DesiredState,
    observed: ObservedState,
    *,
    intent: Intent,
    base: DesiredState | None,
    ran_once: frozenset[str] = frozenset(),
    images: Sequence[Step] = (),
    stacks: Iterable[str] = (),
) -> Plan:
    """The steps from `observed` (complete) to `desired`.

    `base`: the last good state, for causes and for the order in which removed services stop. `images`: Pull and Build
    steps for images that the machine lacks. `stacks`: every stack that is or was this host's. Where replacing one
    service after the other would promise too much memory on the way, all that is replaced stops first.
    """

    def planned(stop_first: bool) -> Plan:
        return _Planner(desired, observed, intent, base, ran_once, images, frozenset(stacks)).plan(stop_first)

    one_by_one = planned(stop_first=False)
    if not any(item.rule == PEAK for item in one_by_one.violations):
        return one_by_one
    together = planned(stop_first=True)
    return one_by_one if any(item.rule == PEAK for item in together.violations) else together


def bound(desired: DesiredState, observed: ObservedState) -> int:
    """Bytes that the limits of all running containers may add up to."""
    available = min(desired.memory.budget, observed.memory_total or desired.memory.budget)
    return available - desired.memory.reserve


def topological(services: Mapping[ServiceKey, Service]) -> list[Service]:
    """Dependencies first; among equals by name. Cycles were refused on admission."""
    ordered: dict[ServiceKey, Service] = {}

    def visit(service: Service) -> None:
        if service.key in ordered:
            return
        shared = [(service.stack, name) for name in service.shares]
        for key in sorted({*((d.stack, d.service) for d in service.depends_on), *shared}):
            if key in services:
                visit(services[key])
        ordered[service.key] = service

    for key in sorted(services):
        visit(services[key])
    return list(ordered.values())


def _settled(pairing: Pairing) -> bool:
    return not pairing.extras and all(
        slot.container is not None
        and slot.container.name == slot.name
        and (slot.container.state == "running" or _ended_once(pairing.service, slot.container))
        for slot in pairing.slots
    )


def _ended_once(service: Service, container: Container) -> bool:
    return service.completes and container.state == "exited" and container.exit_code == 0


@dataclass(slots=True)
class _Memory:
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


class _Planner:
    def __init__(
        self,
        desired: DesiredState,
        observed: ObservedState,
        intent: Intent,
        base: DesiredState | None,
        ran_once: frozenset[str],
        images: Sequence[Step],
        stacks: frozenset[str],
    ) -> None:
        self.desired, self.observed, self.intent, self.base = desired, observed, intent, base
        self.stacks = stacks | {stack.name for stack in desired.stacks}
        self.pairings = pair(desired, observed, ran_once)
        self.gone = removed(desired, observed)
        self.order = [s for s in topological(desired.services()) if s.key in self.pairings]
        self.steps: list[Step] = []
        self.memory = _Memory(
            {item.id: item.memory for item in observed.containers if item.running},
            sum(item.memory for item in observed.foreign),
        )
        self.stopped: set[str] = set()
        self.renamed: dict[str, str] = {}
        self.names = {item.name for item in observed.containers}
        self.wanted = {slot.name: slot for pairing in self.pairings.values() for slot in pairing.slots}
        self.replaced = {n.name for n in self._networks() if self._network_differs(n)}
        self.sharers: dict[ServiceKey, list[Service]] = {}
        for service in reversed(self.order):
            for name in service.shares:
                self.sharers.setdefault((service.stack, name), []).append(service)
        self.touched: set[ServiceKey] = set()
        self.started: list[tuple[Service, Slot]] = []
        self.begun: set[str] = set()
        self.awaited: set[tuple[ServiceKey, Condition]] = set()
        self.downtime: dict[ServiceKey, Downtime] = {}
        for step in images:
            self._add(step.action, step.stack, step.service, step.container, step.cause)

    def plan(self, stop_first: bool) -> Plan:
        replaced = [n for n in self._networks() if n.name in self.replaced]
        moved = self._moved()
        self._create_networks_and_volumes()
        self._create(key for key in self._keys() if key not in moved)
        self._stop_removed()
        self._replace_networks(replaced, moved)
        if stop_first:
            self._make_room()
        for service in self.order:
            self._switch(service)
        self._await_one_shots()
        self._window()
        closing = len(self.steps)
        self._close()
        limit = bound(self.desired, self.observed)
        return Plan(
            intent=self.intent,
            revision=self.desired.revision,
            base=self.base.revision if self.base else None,
            steps=tuple(replace(step, n=n) for n, step in enumerate(self.steps, 1)),
            restarts=tuple(key for key in self._keys() if key in self.downtime),
            downtime=tuple(self.downtime.values()),
            peak=max((step.memory_after for step in self.steps), default=self.memory.total),
            bound=limit,
            closing=len(self.steps) - closing,
            violations=tuple(self._violations(limit)),
        )

    # -- before anything is stopped ----------------------------------------------------------------------------

    def _keys(self) -> list[ServiceKey]:
        return [service.key for service in self.order]

    def _networks(self) -> Iterable[Network]:
        return (n for stack in self.desired.stacks if not stack.suspended for n in stack.networks)

    def _network_differs(self, network: Network) -> bool:
        there = self.observed.networks.get(network.name)
        return there is not None and there.digest is not None and there.digest != network.digest

    def _moved(self) -> set[ServiceKey]:
        """Services on a network that is replaced, or with containers on it, and those in their namespaces."""
        moved: set[ServiceKey] = set()
        for service in self.order:
            pairing = self.pairings[service.key]
            there = [*pairing.extras, *(slot.container for slot in pairing.slots if slot.container is not None)]
            attached = any(endpoint.network in self.replaced for endpoint in service.endpoints)
            attached = attached or any(self._loses_network(item) for item in there)
            if attached or any((service.stack, name) in moved for name in service.shares):
                moved.add(service.key)
        return moved

    def _create_networks_and_volumes(self) -> None:
        used = {e.network for pairing in self.pairings.values() for e in pairing.service.endpoints}
        for network in self._networks():
            if network.name in used and network.name not in self.observed.networks:
                self._add(Action.CREATE_NETWORK, network.stack, None, network.name, "it does not exist yet")
        for stack in self.desired.stacks:
            for volume in stack.volumes if not stack.suspended else ():
                if volume.name not in self.observed.volumes:
                    self._add(Action.CREATE_VOLUME, stack.name, None, volume.name, "it does not exist yet")

    def _create(self, keys: Iterable[ServiceKey]) -> None:
        for key in keys:
            pairing = self.pairings[key]
            if pairing.service.completes and self.intent is not Intent.ADVANCE and pairing.missing:
                continue
            for slot in pairing.missing:
                self._add(Action.CREATE_CONTAINER, *key, slot.name, self._cause(pairing), name=slot.name)

    def _cause(self, pairing: Pairing) -> str:
        service = pairing.service
        if pairing.stale_shares:
            return f"shares with {', '.join(service.shares)}, which is replaced"
        old = self.base.services().get(service.key) if self.base else None
        if not pairing.extras and len(pairing.missing) == len(pairing.slots):
            return "new service" if old is None else "its container is gone"
        if old is None or not pairing.extras:
            return "more replicas are wanted" if not pairing.extras else "another version runs"
        return "changed: " + (", ".join(_differences(old, service)) or "its definition")

    # -- the switch --------------------------------------------------------------------------------------------

    def _stop_removed(self) -> None:
        known = self.base.services() if self.base else {}
        order = [s.key for s in reversed(topological(known)) if s.key in self.gone]
        for key in [*order, *sorted(set(self.gone) - set(order))]:
            for item in self.gone[key]:
                name = self._standby(item) if item.name in self.wanted else None
                if item.running or name:
                    self._stop(item, "the service was removed", name)

    def _make_room(self) -> None:
        for service in reversed(self.order):
            pairing = self.pairings[service.key]
            if pairing.extras:
                self._stop_sharers(service)
                self._stop_old(pairing, "makes room for what is to start")

    def _replace_networks(self, replaced: Sequence[Network], moved: set[ServiceKey]) -> None:
        if not replaced:
            return
        for service in reversed(self.order):
            if service.key in moved:
                self._stop_old(self.pairings[service.key], "its network is replaced")
        for network in replaced:
            self._add(Action.REPLACE_NETWORK, network.stack, None, network.name, "changed: its definition")
        self._create(key for key in self._keys() if key in moved)

    def _switch(self, service: Service) -> None:
        pairing = self.pairings[service.key]
        starting = [slot for slot in pairing.slots if self._to_start(service, slot)]
        olds = [item for item in pairing.extras if item.running and item.id not in self.stopped]
        for slot in starting:
            self._await_dependencies(service)
            if olds or any(item.id in self.stopped for item in pairing.extras):
                self._replace(service, pairing, slot, olds)
            else:
                self._clear_name(slot)
                self._start(service, slot, self._start_cause(slot))
        for item in olds:
            if item.id not in self.stopped:
                self._stop(item, "too many" if not starting else "replaced", None)
        self._rename_kept(pairing)
        self._restart_dependent(service)

    def _replace(self, service: Service, pairing: Pairing, slot: Slot, olds: list[Container]) -> None:
        self._stop_sharers(service)
        old = next((item for item in olds if item.name == slot.name), olds[0] if olds else None)
        if old is not None:
            olds.remove(old)
            self._stop(old, "replaced", self._standby(old))
            self._note_downtime(service)
        self._clear_name(slot)
        self._start(service, slot, self._start_cause(slot))
        if not service.completes:
            self._wait(service, Condition.HEALTHY if service.healthcheck else Condition.STARTED, "proves itself")

    def _stop_sharers(self, service: Service) -> None:
        """Those that live in its namespaces go down before it and come up after it."""
        for other in self.sharers.get(service.key, ()):
            self._stop_sharers(other)
            self._stop_old(self.pairings[other.key], f"shares with {service.name}")

    def _stop_guests(self, service: Service, started: Container) -> None:
        """Who lives in a container's namespaces has none once it was started anew, and starts again after it."""
        for other in self.sharers.get(service.key, ()):
            for slot in self.pairings[other.key].slots:
                guest = slot.container
                if guest is not None and guest.running and started.id in guest.shares and guest.id not in self.stopped:
                    self._stop_guests(other, guest)
                    self._stop(guest, f"shares with {service.name}", None)
                    self._note_downtime(other)

    def _stop_old(self, pairing: Pairing, cause: str) -> None:
        for item in pairing.extras:
            if item.running and item.id not in self.stopped:
                self._stop(item, cause, self._standby(item))
                self._note_downtime(pairing.service)
        self._restart_set(pairing)

    def _restart_set(self, pairing: Pairing) -> None:
        """A kept container whose network is replaced under it has to stop, too; it is started again in its turn."""
        for slot in pairing.slots:
            item = slot.container
            if item is not None and item.running and item.id not in self.stopped and self._loses_network(item):
                self._stop(item, "its network is replaced", None)

    def _loses_network(self, item: Container) -> bool:
        return not self.replaced.isdisjoint(item.networks)

    def _to_start(self, service: Service, slot: Slot) -> bool:
        item = slot.container
        if service.completes and completed(item):
            return False
        if service.completes and self.intent is not Intent.ADVANCE and (item is None or not item.running):
            return False
        return item is None or not item.running or item.id in self.stopped

    def _start_cause(self, slot: Slot) -> str:
        if slot.container is None:
            return "created"
        return "it ran before" if slot.container.name.endswith(STANDBY) else "it is not running"

    def _start(self, service: Service, slot: Slot, cause: str) -> None:
        item = slot.container
        if item is not None:
            self.renamed[item.id] = slot.name
            self._stop_guests(service, item)
        self._join(service, slot)
        key = item.id if item else slot.name
        self.memory.start(key, service.memory)
        action = Action.RUN_ONCE if service.completes else Action.START_CONTAINER
        self._add(action, *service.key, slot.name, cause, id=item.id if item else None, name=slot.name)
        self.started.append((service, slot))
        self.begun.add(key)
        self.touched.add(service.key)

    def _join(self, service: Service, slot: Slot) -> None:
        if slot.container is None:
            return
        for endpoint in service.endpoints:
            if endpoint.network in self.replaced or endpoint.network not in slot.container.networks:
                self._add(
                    Action.JOIN_ALIAS,
                    *service.key,
                    slot.name,
                    f"lost network {endpoint.network}",
                    id=slot.container.id,
                    name=endpoint.network,
                )

    def _await_dependencies(self, service: Service) -> None:
        for dependency in service.depends_on:
            key = (dependency.stack, dependency.service)
            if key in self.pairings and (key in self.touched or self._pending(key, dependency.condition)):
                self._wait(self.pairings[key].service, dependency.condition, f"{service.name} depends on it")

    def _pending(self, key: ServiceKey, condition: Condition) -> bool:
        """Whether a rollout that was cut off has begun what its dependents wait for."""
        running = [slot.container for slot in self.pairings[key].slots if slot.container and slot.container.running]
        return any(condition is Condition.COMPLETED or item.health not in ("none", "healthy") for item in running)

    def _wait(self, service: Service, condition: Condition, cause: str) -> None:
        if (service.key, condition) not in self.awaited or condition is not Condition.COMPLETED:
            self.awaited.add((service.key, condition))
            last = self.steps[-1] if self.steps else None
            if last is None or (last.action, last.stack, last.service) != (Action.WAIT_HEALTHY, *service.key):
                self._add(Action.WAIT_HEALTHY, *service.key, service.name, cause, condition=condition)

    def _restart_dependent(self, service: Service) -> None:
        """`depends_on: restart: true`: an unchanged service starts again after one that was replaced."""
        causes = [d for d in service.depends_on if d.restart and (d.stack, d.service) in self.downtime]
        if service.key in self.touched or not causes:
            return
        for slot in self.pairings[service.key].slots:
            if slot.container is not None and slot.container.running:
                self._await_dependencies(service)
                self._stop(slot.container, f"restarts with {causes[0].service}", None)
                self._note_downtime(service)
                self._start(service, slot, f"restarts with {causes[0].service}")

    def _stop(self, item: Container, cause: str, name: str | None) -> None:
        self.memory.stop(item.id)
        self.stopped.add(item.id)
        if name is not None:
            self.renamed[item.id] = name
        self._add(Action.STOP_CONTAINER, item.stack, item.service, item.name, cause, id=item.id, name=name)

    def _standby(self, item: Container) -> str | None:
        if item.name.endswith(STANDBY):
            return None
        name = item.name + STANDBY
        name = name if name not in self.names else f"{item.name}.{item.id[:8]}{STANDBY}"
        self.names.add(name)
        return name

    def _clear_name(self, slot: Slot) -> None:
        """Whatever else holds the name of a container that is wanted gives it up first, whosever service it is."""
        for item in self.observed.containers:
            if item.name == slot.name and item != slot.container and item.id not in self.renamed:
                self._stop(item, f"{slot.name} is to be another one's name", self._standby(item))
                if item.running and (item.stack, item.service) in self.pairings:
                    self._note_downtime(self.pairings[(item.stack, item.service)].service)

    def _rename_kept(self, pairing: Pairing) -> None:
        for slot in pairing.slots:
            item = slot.container
            if item is not None and item.name != slot.name and item.id not in self.begun:
                self._clear_name(slot)
                self.renamed[item.id] = slot.name
                self._add(
                    Action.UPDATE_CONTAINER,
                    *pairing.service.key,
                    slot.name,
                    f"it is called {item.name}",
                    id=item.id,
                    name=slot.name,
                )

    def _note_downtime(self, service: Service) -> None:
        gate = self.desired.gate(service.stack)
        longest = service.grace + gate.healthy_deadline
        self.downtime.setdefault(service.key, Downtime(service.stack, service.name, service.order, longest))

    # -- the verdict and after it ------------------------------------------------------------------------------

    def _await_one_shots(self) -> None:
        """What somebody waits for has to end well, also where nobody is started after it."""
        waited_for = {
            (dependency.stack, dependency.service)
            for service in self.order
            for dependency in service.depends_on
            if dependency.condition is Condition.COMPLETED
        }
        for service in dict.fromkeys(service.key for service, _ in self.started):
            if service in waited_for:
                self._wait(self.pairings[service].service, Condition.COMPLETED, "it has to end well")

    def _window(self) -> None:
        if self.started or self.stopped or (self.intent is not Intent.REPAIR and self.pairings):
            self._add(Action.WAIT_HEALTHY, None, None, None, "all services together prove themselves")

    def _close(self) -> None:
        for service, slot in self._restart_policies():
            item = slot.container
            self._add(
                Action.UPDATE_CONTAINER,
                *service.key,
                slot.name,
                f"restart policy {service.restart}",
                id=item.id if item else None,
            )
        for key in self._keys():
            for item in self.pairings[key].extras:
                self._remove(item, "replaced")
        for items in self.gone.values():
            for item in items:
                self._remove(item, "the service was removed")
        self._remove_networks()

    def _restart_policies(self) -> Iterable[tuple[Service, Slot]]:
        started = {slot.name for _, slot in self.started}
        for service in self.order:
            for slot in self.pairings[service.key].slots:
                if slot.name in started:
                    if service.restart != "no":
                        yield service, slot
                elif (
                    slot.container is not None and slot.container.detailed and slot.container.restart != service.restart
                ):
                    yield service, slot

    def _remove(self, item: Container, cause: str) -> None:
        name = self.renamed.get(item.id, item.name)
        self._add(Action.REMOVE_CONTAINER, item.stack, item.service, name, cause, id=item.id)

    def _remove_networks(self) -> None:
        """Ours alone: of a stack of this host, and made by this host's agent."""
        wanted = {n.name for stack in self.desired.stacks for n in stack.networks}
        suspended = {stack.name for stack in self.desired.stacks if stack.suspended}
        for name, network in sorted(self.observed.networks.items()):
            stack = network.labels.get(COMPOSE_PROJECT)
            ours = stack in self.stacks and network.labels.get(LABEL_HOST) == self.desired.host
            if ours and name not in wanted and stack not in suspended:
                self._add(Action.REMOVE_NETWORK, stack, None, name, "nobody uses it any more")

    # -- bookkeeping -------------------------------------------------------------------------------------------

    def _violations(self, limit: int) -> Iterable[Violation]:
        starts = (step for step in self.steps if step.action in (Action.START_CONTAINER, Action.RUN_ONCE))
        over = next((step for step in starts if step.memory_after > limit), None)
        if over is not None:
            yield self._too_much(over, limit)
        yield from self._captures()
        for stack in self.desired.stacks:
            for volume in stack.volumes if not stack.suspended else ():
                there = self.observed.volumes.get(volume.name)
                wanted = dict(volume.definition.get("driver_opts") or {})
                driver = volume.definition.get("driver") or "local"
                if there is not None and (there.driver, dict(there.options)) != (driver, wanted):
                    yield Violation(
                        Reason.POLICY_VIOLATION,
                        "volume-changed",
                        f"volume {volume.name} exists with another driver or other options",
                        "a volume is never recreated: give the changed volume a new name and move the data",
                        level=Level.DENY,
                        stack=stack.name,
                    )

    def _captures(self) -> Iterable[Violation]:
        """Networks and volumes that are there already and belong to others: a name is no leave to use them."""
        for stack in self.desired.stacks:
            for kind, wanted, there in (
                ("network", stack.networks, self.observed.networks),
                ("volume", stack.volumes, self.observed.volumes),
            ):
                for item in wanted if not stack.suspended else ():
                    found = there.get(item.name)
                    if found is not None and _of_others(found.labels, item.name, stack.name, self.stacks):
                        yield Violation(
                            Reason.POLICY_VIOLATION,
                            "foreign-object",
                            f"the {kind} {item.name} exists and is not this stack's",
                            "choose another name; to share it, declare it external and let the operator grant that",
                            stack=stack.name,
                        )

    def _too_much(self, step: Step, limit: int) -> Violation:
        foreign = self.memory.foreign
        others = f", {foreign >> 20} MiB of it other containers'" if foreign else ""
        return Violation(
            Reason.BUDGET_EXCEEDED,
            PEAK,
            f"starting {step.stack}/{step.service} would promise containers {step.memory_after >> 20} MiB{others}; "
            f"at most {limit >> 20} MiB may be promised",
            "lower a limit, raise spec.memory.budget, give the engine more memory or stop other containers",
            stack=step.stack,
            service=step.service,
        )

    def _add(
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
    ) -> None:
        self.steps.append(Step(0, action, stack, service, container, cause, self.memory.total, id, name, condition))


def _of_others(labels: Mapping[str, str], name: str, stack: str, stacks: Collection[str]) -> bool:
    """Whether an object is another project's. One without a project is a person's, unless its name is ours anyway."""
    owner = labels.get(COMPOSE_PROJECT)
    if owner is None:
        return not name.startswith(f"{stack}_")
    return owner != stack and owner not in stacks


def _differences(old: Service, new: Service) -> list[str]:
    """Which keys of the service differ, for the cause."""
    keys = sorted(key for key in {*old.config, *new.config} if old.config.get(key) != new.config.get(key))
    named = [key for key in keys if key != "labels"]
    plain = {k: v for k, v in dict(new.config.get("labels") or {}).items() if not k.startswith("dev.reconciler.")}
    before = {k: v for k, v in dict(old.config.get("labels") or {}).items() if not k.startswith("dev.reconciler.")}
    if plain != before:
        named.append("labels")
    if old.restart != new.restart:
        named.append("restart")
    return named
