"""Ordered steps from the observed to the desired state. One planner for advance, rollback, repair and resume."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from reconciler.decide import footprint
from reconciler.decide.defaults import missing
from reconciler.decide.drift.corrections import NOTHING, Corrections
from reconciler.decide.drift.facts import RESTART
from reconciler.decide.plan.bounds import PEAK, bound, violations
from reconciler.decide.plan.builder import PlanBuilder
from reconciler.decide.plan.diff import StateDiff
from reconciler.decide.plan.switching import Switching
from reconciler.decide.plan.trials import Trials
from reconciler.decide.slots import Pairing, Slot
from reconciler.model.desired import Condition, DesiredState, Network, Service, ServiceKey
from reconciler.model.documents import LONGEST_STOP
from reconciler.model.observed import COMPOSE_PROJECT, Container, ObservedState
from reconciler.model.outcome import Intent
from reconciler.model.plan import Action, Change, Default, Plan, Step


def plan(
    desired: DesiredState,
    observed: ObservedState,
    *,
    intent: Intent,
    base: DesiredState | None,
    ran_once: frozenset[str] = frozenset(),
    images: Sequence[Step] = (),
    stacks: Iterable[str] = (),
    corrections: Corrections = NOTHING,
    longest_stop: float = LONGEST_STOP,
) -> Plan:
    """The steps from `observed` (complete) to `desired`.

    `base`: the last good state, for causes and for the order in which removed services stop. `images`: Pull and Build
    steps for images that the machine lacks, with the memory of the step itself in `memory_after`. `stacks`: every stack
    that is or was this host's. `corrections`: faults and drift of containers that have the desired spec.
    `longest_stop`: seconds that any container may take to stop. A service whose old and new container together exceed
    the memory bound is replaced stop-first. If replacing one service after the other would exceed it, all replaced
    containers stop first.
    """

    ours = {*stacks, *(stack.name for stack in desired.stacks)}

    def planned(*, stop_first: bool, cramped: Collection[ServiceKey]) -> tuple[Plan, Sequence[ServiceKey]]:
        diff = StateDiff(desired, observed, intent, base, ran_once, corrections, ours)
        planner = _Planner(diff, images, longest_stop, cramped)
        return planner.plan(stop_first), planner.too_large()

    cramped: set[ServiceKey] = set()
    one_by_one, too_large = planned(stop_first=False, cramped=cramped)
    while too_large:
        cramped.update(too_large)
        one_by_one, too_large = planned(stop_first=False, cramped=cramped)
    for limited in (cramped, desired.services()):
        if not _peaks(one_by_one):
            break
        together, too_large = planned(stop_first=True, cramped=limited)
        if not too_large and not _peaks(together):
            return together
    return one_by_one


def _peaks(plan: Plan) -> bool:
    return any(item.rule == PEAK for item in plan.violations)


class _Planner:
    def __init__(
        self,
        diff: StateDiff,
        images: Sequence[Step],
        longest_stop: float,
        cramped: Collection[ServiceKey],
    ) -> None:
        self.diff = diff
        self.builder = PlanBuilder(diff.desired, diff.observed, lambda item: diff.grace(item, longest_stop))
        self.desired, self.observed, self.intent = diff.desired, diff.observed, diff.intent
        self.base, self.pairings = diff.base, diff.pairings
        self.switching = Switching(diff, self.builder, cramped)
        self.trials = Trials(diff, self.builder, cramped)
        for step in images:
            beside = max(0, step.memory_after - self.desired.memory.reserve)  # the reserve covers this
            self.builder.add(step.action, step.stack, step.service, step.container, step.cause, beside=beside)

    def plan(self, stop_first: bool) -> Plan:
        moved = self.diff.moved()
        late = self.diff.made_late(moved)
        self.trials.end_left_over()
        self._create_networks_and_volumes()
        self._create(key for key in self.diff.keys_in_order() if key not in late)
        self.trials.add(self.switching.start_first.keys, late)
        self.switching.stop_removed()
        self._replace_networks(moved)
        self._create(key for key in self.diff.keys_in_order() if key in late)
        if stop_first:
            self.switching.make_room()
        self.switching.switch_all()
        self._await_one_shots()
        self._window()
        closing = len(self.builder.steps)
        self._close()
        limit = bound(self.desired, self.observed)
        return Plan(
            intent=self.intent,
            revision=self.desired.revision,
            base=self.base.revision if self.base else None,
            steps=tuple(replace(step, n=n) for n, step in enumerate(self.builder.steps, 1)),
            restarts=tuple(key for key in self.diff.keys_in_order() if key in self.builder.downtime),
            downtime=tuple(self.builder.downtime.values()),
            peak=max((step.memory_after for step in self.builder.steps), default=self.builder.memory.total),
            bound=limit,
            closing=len(self.builder.steps) - closing,
            violations=tuple(violations(self.diff, self.builder, limit, self.diff.stacks)),
            defaults=tuple(self._defaults()),
        )

    def too_large(self) -> list[ServiceKey]:
        """Services whose old and new container together exceed the memory bound, in order."""
        limit = bound(self.desired, self.observed)
        surges = (*self.trials.surges, *self.switching.start_first.surges)
        return [key for key, memory in surges if memory > limit]

    # -- before anything is stopped ----------------------------------------------------------------------------

    def _create_networks_and_volumes(self) -> None:
        for network in self.diff.absent():
            if network.name not in self.diff.late:
                self._create_network(network, "it does not exist yet")
        for stack in self.desired.stacks:
            for volume in stack.volumes if not stack.suspended else ():
                if volume.name not in self.observed.volumes:
                    lost = self.diff.is_lost(volume)
                    cause = "somebody removed this volume: it is made anew and is empty"
                    self.builder.add(
                        Action.CREATE_VOLUME,
                        stack.name,
                        None,
                        volume.name,
                        cause if lost else "it does not exist yet",
                        change=Change.LOST if lost else None,
                    )

    def _create_network(self, network: Network, cause: str) -> None:
        self.builder.add(Action.CREATE_NETWORK, network.stack, None, network.name, cause)

    def _create(self, keys: Iterable[ServiceKey]) -> None:
        for key in keys:
            pairing = self.pairings[key]
            if pairing.service.completes and self.intent is not Intent.ADVANCE and pairing.missing:
                continue
            for slot in pairing.missing:
                self.builder.add(Action.CREATE_CONTAINER, *key, slot.name, self._cause(pairing), name=slot.name)

    def _cause(self, pairing: Pairing) -> str:
        service = pairing.service
        if pairing.stale_shares:
            return f"shares with {', '.join(service.shares)}, which is replaced"
        old = self.diff.known.get(service.key)
        if not pairing.extras and len(pairing.missing) == len(pairing.slots):
            return "new service" if old is None else "its container is gone"
        drifted = next(filter(None, map(self.diff.corrections.cause, pairing.extras)), "")
        if drifted:
            return drifted
        if any(self.diff.lost_network(item) and item.spec == service.spec for item in pairing.extras):
            return "its network is gone or replaced"
        if old is None or not pairing.extras:
            return "more replicas are asked for" if not pairing.extras else "another version runs"
        return "changed: " + (", ".join(_differences(old, service)) or "its definition")

    def _defaults(self) -> Iterable[Default]:
        """Defaults of services that get a new container."""
        found: dict[tuple[str, str], list[ServiceKey]] = {}
        made = {
            (step.stack or "", step.service or "")
            for step in self.builder.steps
            if step.action is Action.CREATE_CONTAINER
        }
        for key in self.diff.keys_in_order():
            if key in made:
                for item in missing(self.pairings[key].service.config, self.observed.log_driver).items():
                    found.setdefault(item, []).append(key)
        return (Default(name, value, tuple(keys)) for (name, value), keys in found.items())

    # -- the switch --------------------------------------------------------------------------------------------

    def _replace_networks(self, moved: set[ServiceKey]) -> None:
        replaced, yielding = self.diff.replaced, self.diff.yielding
        if not replaced and not yielding:
            return
        for service in reversed(self.diff.order):
            if service.key in moved:
                self.switching.stop_old(self.pairings[service.key], "its network is replaced")
        for name, cause in yielding.items():
            stack = self.observed.networks[name].labels.get(COMPOSE_PROJECT)
            self.builder.add(Action.REMOVE_NETWORK, stack, None, name, cause)
        for network in self.diff.networks():
            if network.name in self.diff.late:
                self._create_network(network, "it does not exist yet")
            elif network.name in replaced and network.name in yielding:
                self._create_network(network, "changed: its definition")
            elif network.name in replaced:
                self.builder.add(Action.REPLACE_NETWORK, network.stack, None, network.name, "changed: its definition")

    # -- the verdict and after it ------------------------------------------------------------------------------

    def _await_one_shots(self) -> None:
        """A one-shot with a waiting service must succeed, even if nothing starts after it."""
        waited_for = footprint.ending_of(self.desired)
        for service in dict.fromkeys(service.key for service, _ in self.builder.started):
            if service in waited_for:
                self.builder.wait(self.pairings[service].service, Condition.COMPLETED, "it must end with exit code 0")

    def _window(self) -> None:
        corrected = self.builder.stopped <= self.diff.corrections.ailing.keys() and self.builder.restarted_only
        if corrected and self.intent is Intent.REPAIR:
            return
        if self.builder.started or self.builder.stopped or (self.intent is not Intent.REPAIR and self.pairings):
            self.builder.add(Action.WAIT_HEALTHY, None, None, None, "all services are watched together")

    def _close(self) -> None:
        for service, slot in self._restart_policies():
            item = slot.container
            self.builder.add(
                Action.UPDATE_CONTAINER,
                *service.key,
                slot.name,
                _policy_cause(service, item),
                id=item.id if item else None,
            )
        for key in self.diff.keys_in_order():
            for item in self.pairings[key].extras:
                self._remove(item, "replaced")
        for items in self.diff.gone.values():
            for item in items:
                self._remove(item, "the service was removed")
        self._remove_networks()

    def _restart_policies(self) -> Iterable[tuple[Service, Slot]]:
        started = {slot.name for _, slot in self.builder.started}
        for service in self.diff.order:
            for slot in self.pairings[service.key].slots:
                if slot.name in started:
                    if service.restart != "no":
                        yield service, slot
                elif (
                    slot.container is not None and slot.container.detailed and slot.container.restart != service.restart
                ):
                    yield service, slot

    def _remove(self, item: Container, cause: str) -> None:
        name = self.builder.renamed.get(item.id, item.name)
        self.builder.add(Action.REMOVE_CONTAINER, item.stack, item.service, name, cause, id=item.id)

    def _remove_networks(self) -> None:
        for name, network in self.diff.unwanted.items():
            if name not in self.diff.yielding:
                stack = network.labels.get(COMPOSE_PROJECT)
                self.builder.add(Action.REMOVE_NETWORK, stack, None, name, "nobody uses it any more")


def _policy_cause(service: Service, container: Container | None) -> str:
    """Names a manual change as the cause; otherwise only the policy that is set after the verdict."""
    if container is None or not container.detailed or container.restart == service.restart:
        return f"{RESTART} {service.restart}"
    return f"{RESTART} {container.restart} instead of {service.restart}"


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
