"""The order in which containers stop and start, one service after the other, dependencies first."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from reconciler.decide import footprint
from reconciler.decide.drift.facts import NETWORK, STATE, Difference, aliases_missing
from reconciler.decide.drift.wanted_facts import LIMITS
from reconciler.decide.plan.builder import PlanBuilder
from reconciler.decide.plan.diff import StateDiff, needs, topological
from reconciler.decide.plan.exclusive import Holders
from reconciler.decide.plan.start_first import Callbacks, StartFirst, groups, partners
from reconciler.decide.slots import STANDBY, Pairing, Slot, completed
from reconciler.model.desired import Condition, Service, ServiceKey
from reconciler.model.observed import Container
from reconciler.model.outcome import Intent
from reconciler.model.plan import Action, Change

TOGETHER = 4
"""Services of one level that wait for their dependencies, and then start together."""


class Switching:
    """Adds the steps that bring each service to its desired state."""

    def __init__(self, diff: StateDiff, builder: PlanBuilder, cramped: Collection[ServiceKey] = ()) -> None:
        """`cramped`: services that have not enough memory to be replaced start-first."""
        self.diff, self.builder = diff, builder
        self.observed, self.intent = diff.observed, diff.intent
        self.pairings, self.gone, self.order = diff.pairings, diff.gone, diff.order
        self.wanted, self.replaced, self.namespace_users = diff.wanted, diff.replaced, diff.namespace_users
        self.corrections = diff.corrections
        self.holders = Holders(self.pairings.values(), self.observed)
        self.named: dict[str, list[Container]] = {}
        for item in self.observed.containers:
            self.named.setdefault(item.name, []).append(item)
        self.joined: set[tuple[str, str]] = set()
        shared = Callbacks(self._await_dependencies, self._stop_holders, self._clear_name, self._start_cause)
        self.start_first = StartFirst(diff, builder, shared, cramped)
        builder.fallbacks = self.start_first.fallbacks

    def stop_removed(self) -> None:
        order = [s.key for s in reversed(topological(self.diff.known)) if s.key in self.gone]
        for key in [*order, *sorted(set(self.gone) - set(order))]:
            for item in self.gone[key]:
                name = self.builder.standby(item) if item.name in self.wanted else None
                if item.running or name:
                    self.builder.stop(item, "the service was removed", name)

    def make_room(self) -> None:
        for service in reversed(self.order):
            pairing = self.pairings[service.key]
            if pairing.extras and not self.start_first.applies(pairing):
                self._stop_namespace_users(service)
                self.stop_old(pairing, "frees memory for the next start")

    def switch_all(self) -> None:
        """New services start together, level by level; services that replace containers go one at a time.

        During a rollback all go level by level: these containers were good, and each wait is an outage. Services that
        others need start before the rest of their level, so that the others wait for less.
        """
        if self.intent is Intent.REVERT:
            self._stop_replaced()
        waiting = {service.key: service for service in self.order}
        needed = {key for service in self.order for key in needs(service)}
        new = [service for service in self.order if self._goes_with_others(service)]
        while waiting:
            level = [service for service in new if not any(key in waiting for key in needs(service))]
            if level:
                self._start_together(sorted(level, key=lambda service: service.key not in needed))
            else:
                level = [next(iter(waiting.values()))]
                self.switch(level[0])
            for service in level:
                del waiting[service.key]
            new = [service for service in new if service.key in waiting]

    def _stop_replaced(self) -> None:
        """During a rollback all replaced containers stop first, dependents before their dependencies, so that one level
        stops together. Services that are replaced without downtime do not stop here."""
        depths: dict[ServiceKey, int] = {}
        for service in self.order:
            depths[service.key] = 1 + max((depths[key] for key in needs(service) if key in depths), default=0)
        for service in sorted(self.order, key=lambda item: -depths[item.key]):
            if self._rolls(service):
                continue
            self._stop_namespace_users(service)
            self.stop_old(self.pairings[service.key], "replaced")

    def _goes_with_others(self, service: Service) -> bool:
        """In an advance: a service without containers needs no stop before its start."""
        pairing = self.pairings[service.key]
        if self._rolls(service):
            return False
        if self.intent is Intent.REVERT:
            return True
        return not pairing.extras and all(slot.container is None for slot in pairing.slots)

    def _rolls(self, service: Service) -> bool:
        """Whether a part of its containers serves while the others are replaced, in a rollback as well."""
        pairing = self.pairings[service.key]
        if self.start_first.applies(pairing):
            return True
        olds = [item for item in pairing.extras if item.running and item.id not in self.builder.stopped]
        some = 0 < service.update.parallelism < len(olds) and not service.completes
        serve = all(item.state == "running" and item.health in ("none", "healthy") for item in olds)
        return self.intent is Intent.REVERT and some and serve and service.key not in self.diff.moved()

    def _start_together(self, level: list[Service]) -> None:
        """Some at a time, so that the next ones start while these become healthy. Their dependencies come first."""
        for first in range(0, len(level), TOGETHER):
            some = level[first : first + TOGETHER]
            starting = [s for s in some if any(self._to_start(s, slot) for slot in self.pairings[s.key].slots)]
            for service in starting:
                self._await_dependencies(service)
            for service in reversed(starting):
                self._stop_namespace_users(service)
                self.stop_old(self.pairings[service.key], "replaced")
                self._stop_holders(service)
                for slot in self.pairings[service.key].slots:
                    self._clear_name(slot)
            for service in some:
                self.switch(service, awaited=True)

    def switch(self, service: Service, *, awaited: bool = False) -> None:
        pairing = self.pairings[service.key]
        beside = self.start_first.applies(pairing)
        for slot in pairing.slots:
            unfinished = beside and self.start_first.unfinished(service, slot)
            if slot.container is not None and slot.container.id not in self.builder.stopped and not unfinished:
                self._correct(service, slot, slot.container)
        if beside:
            self.start_first.replace(pairing)
        else:
            self._stop_first(pairing, awaited)
        self._rename_kept(pairing)
        self._restart_dependent(service)

    def _stop_first(self, pairing: Pairing, awaited: bool) -> None:
        service, rolls = pairing.service, self._rolls(pairing.service)
        starting = [slot for slot in pairing.slots if self._to_start(service, slot)]
        olds = [item for item in pairing.extras if item.running and item.id not in self.builder.stopped]
        for number, group in enumerate(groups(starting, service.update.parallelism)):
            if not awaited:
                self._await_dependencies(service)
            if olds or any(item.id in self.builder.stopped for item in pairing.extras):
                self._replace(service, group, olds, service.update.delay if number else 0.0, rolls)
            else:
                self._stop_holders(service)
                for slot in group:
                    self._clear_name(slot)
                    self._start(service, slot, self._start_cause(slot))
        for item in olds:
            if item.id not in self.builder.stopped:
                self.builder.stop(item, "too many" if not starting else "replaced", None)

    def _replace(
        self, service: Service, group: Sequence[Slot], olds: list[Container], delay: float, rolls: bool
    ) -> None:
        self._stop_namespace_users(service)
        for old in partners(group, olds):
            self.builder.stop(old, "replaced", self.builder.standby(old), delay)
            self.builder.note_downtime(service)
            delay = 0.0
        self._stop_holders(service)
        for slot in group:
            self._clear_name(slot)
        for slot in group:
            self._start(service, slot, self._start_cause(slot))
        if not service.completes and (rolls or self.intent is not Intent.REVERT):
            self.builder.wait(service, Condition.HEALTHY if service.healthcheck else Condition.STARTED, "proves itself")

    def _stop_namespace_users(self, service: Service) -> None:
        """Stop the namespace users of a service: they stop before it and start after it."""
        for other in self.namespace_users.get(service.key, ()):
            self._stop_namespace_users(other)
            self.stop_old(self.pairings[other.key], f"shares with {service.name}")

    def _stop_namespace_users_of(self, service: Service, started: Container) -> None:
        """A namespace user loses its namespaces when the owner restarts, so it starts again after the owner."""
        for other in self.namespace_users.get(service.key, ()):
            for slot in self.pairings[other.key].slots:
                user = slot.container
                if (
                    user is not None
                    and user.running
                    and started.id in user.shares
                    and user.id not in self.builder.stopped
                ):
                    self._stop_namespace_users_of(other, user)
                    self.builder.stop(user, f"shares with {service.name}", None)
                    self.builder.note_downtime(other)

    def stop_old(self, pairing: Pairing, cause: str) -> None:
        for item in pairing.extras:
            if item.running and item.id not in self.builder.stopped:
                self.builder.stop(item, cause, self.builder.standby(item))
                self.builder.note_downtime(pairing.service)
        self._restart_set(pairing)

    def _restart_set(self, pairing: Pairing) -> None:
        """A kept container whose network is replaced must stop, too; it starts again later in the plan."""
        for slot in pairing.slots:
            item = slot.container
            if (
                item is not None
                and item.running
                and item.id not in self.builder.stopped
                and self.diff.loses_network(item)
            ):
                self.builder.stop(item, "its network is replaced", None)

    def _to_start(self, service: Service, slot: Slot) -> bool:
        item = slot.container
        if service.completes and completed(item):
            return False
        if service.completes and self.intent is not Intent.ADVANCE and (item is None or not _was_running(item)):
            return False
        if item is not None and item.state == "exited" and service.key in self.corrections.held:
            return item.id in self.builder.stopped
        return item is None or not item.running or item.id in self.builder.stopped

    def _start_cause(self, slot: Slot) -> str:
        if slot.container is None:
            return "created"
        if slot.container.id in self.corrections.ailing:
            return self.corrections.ailing[slot.container.id]
        return "it ran before" if slot.container.name.endswith(STANDBY) else "it is not running"

    def _start(self, service: Service, slot: Slot, cause: str) -> None:
        item = slot.container
        if item is not None:
            self.builder.renamed[item.id] = slot.name
            self._stop_namespace_users_of(service, item)
        self._join(service, slot)
        key = item.id if item else slot.name
        self.builder.memory.start(key, footprint.of_service(service), footprint.mounted(service.config))
        action = Action.RUN_ONCE if service.completes else Action.START_CONTAINER
        self.builder.add(action, *service.key, slot.name, cause, id=item.id if item else None, name=slot.name)
        self.builder.started.append((service, slot))
        self.builder.restarted_only &= item is not None and item.id in self.corrections.ailing
        self.builder.begun.add(key)
        self.builder.touched.add(service.key)

    def _join(self, service: Service, slot: Slot) -> None:
        if slot.container is None:
            return
        for endpoint in service.endpoints:
            there = self.diff.connected(slot.container)
            known = there if endpoint.network not in self.replaced else frozenset()
            lost = "" if endpoint.network in known else f"lost network {endpoint.network}"
            if not lost and aliases_missing(endpoint, slot.container):
                lost = f"lost its aliases in {endpoint.network}"
            if lost and (slot.container.id, endpoint.network) not in self.joined:
                self.builder.add(
                    Action.JOIN_ALIAS,
                    *service.key,
                    slot.name,
                    lost,
                    id=slot.container.id,
                    name=endpoint.network,
                )

    def _await_dependencies(self, service: Service) -> None:
        for dependency in service.depends_on:
            key = (dependency.stack, dependency.service)
            if key in self.pairings and (key in self.builder.touched or self._pending(key, dependency.condition)):
                self.builder.wait(self.pairings[key].service, dependency.condition, f"{service.name} depends on it")

    def _pending(self, key: ServiceKey, condition: Condition) -> bool:
        """Whether an interrupted rollout has started the service that its dependents wait for."""
        running = [slot.container for slot in self.pairings[key].slots if slot.container and slot.container.running]
        return any(condition is Condition.COMPLETED or item.health not in ("none", "healthy") for item in running)

    def _restart_dependent(self, service: Service) -> None:
        """`depends_on: restart: true`: an unchanged service restarts after a dependency that was replaced."""
        causes = [d for d in service.depends_on if d.restart and self._was_down((d.stack, d.service))]
        if service.key in self.builder.touched or not causes:
            return
        for slot in self.pairings[service.key].slots:
            if slot.container is not None and slot.container.running:
                self._await_dependencies(service)
                self.builder.stop(slot.container, f"restarts with {causes[0].service}", None)
                self.builder.note_downtime(service)
                self._start(service, slot, f"restarts with {causes[0].service}")

    def _was_down(self, key: ServiceKey) -> bool:
        return key in self.builder.downtime or (key in self.builder.touched and self.diff.made_anew(key))

    # -- drift of containers that have the desired spec ------------------------------------------------------------

    def _correct(self, service: Service, slot: Slot, item: Container) -> None:
        """Corrects in place; starts stopped or unhealthy containers again, unless we gave up."""
        found = self.corrections.drift.get(item.id, ())
        limits = [fact.text for fact in found if fact.fact in LIMITS]
        if limits:
            self.builder.count_again(item, service)
            self._update(service, slot, item, "; ".join(limits), Change.LIMITS)
        if item.id in self.corrections.ailing:
            self.builder.stop(item, self.corrections.ailing[item.id], None)
            self.builder.note_downtime(service)
            return
        for fact in found:
            if fact.fact == STATE:
                self._update(service, slot, item, "it is paused", Change.RESUME)
            elif fact.fact.startswith(f"{NETWORK} "):
                self._correct_network(service, slot, item, fact)

    def _correct_network(self, service: Service, slot: Slot, item: Container, fact: Difference) -> None:
        network = fact.fact.removeprefix(f"{NETWORK} ")
        if network in {endpoint.network for endpoint in service.endpoints}:
            self.joined.add((item.id, network))
            self.builder.add(Action.JOIN_ALIAS, *service.key, slot.name, fact.text, id=item.id, name=network)
        else:
            self._update(service, slot, item, fact.text, Change.LEAVE, network)

    def _update(
        self, service: Service, slot: Slot, item: Container, cause: str, change: Change, name: str | None = None
    ) -> None:
        self.builder.add(Action.UPDATE_CONTAINER, *service.key, slot.name, cause, id=item.id, name=name, change=change)

    def _stop_holders(self, service: Service) -> None:
        """An exclusive resource moves to this service: its present holder stops first."""
        for pairing, item, what in self.holders.of(service):
            if item.id not in self.builder.stopped:
                self._stop_namespace_users(pairing.service)
                self.builder.stop(item, f"{service.name} takes its {what}", self.builder.standby(item))
                self.builder.note_downtime(pairing.service)

    def _clear_name(self, slot: Slot) -> None:
        """Any other container with the name of a desired container stops and is renamed first."""
        for item in self.named.get(slot.name, ()):
            if item != slot.container and item.id not in self.builder.renamed:
                self.builder.stop(item, f"another container takes the name {slot.name}", self.builder.standby(item))
                if item.running and (item.stack, item.service) in self.pairings:
                    self.builder.note_downtime(self.pairings[(item.stack, item.service)].service)

    def _rename_kept(self, pairing: Pairing) -> None:
        for slot in pairing.slots:
            item = slot.container
            if item is None or item.id in self.builder.begun:
                continue
            if self.builder.renamed.get(item.id, item.name) != slot.name:
                self._clear_name(slot)
                self.builder.renamed[item.id] = slot.name
                cause = f"it is called {item.name}"
                self.builder.on_slot(Action.UPDATE_CONTAINER, pairing.service, slot, cause, slot.name)


def _was_running(container: Container) -> bool:
    return container.running or container.cut_off
