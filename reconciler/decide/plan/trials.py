"""Trials: a second container of a service proves itself before anything stops, and is removed again."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from reconciler.decide import footprint
from reconciler.decide.plan.builder import PlanBuilder
from reconciler.decide.plan.diff import StateDiff, needs
from reconciler.decide.plan.exclusive import WRITABLE_KINDS
from reconciler.decide.plan.orders import NO_MEMORY, borrows
from reconciler.decide.slots import Pairing, completed, has_run
from reconciler.model.desired import AS_USUAL, Condition, DesiredState, Endpoint, Service, ServiceKey, Trial
from reconciler.model.observed import LABEL_HOST, LABEL_SPEC, LABEL_STACK
from reconciler.model.outcome import Intent, Level, Reason, Violation
from reconciler.model.plan import Action, Change, Plan

SUFFIX = ".trial"
"""Suffix of a trial's service name. If a killed agent leaves a trial container behind, its service is in no commit."""

_EXCLUSIVE = ("ports", "hostname", "domainname", "mac_address")
_EXCLUSIVE_IN_A_NETWORK = ("aliases", "ipv4_address", "ipv6_address", "link_local_ips", "mac_address")
_OURS = (LABEL_HOST, LABEL_STACK, LABEL_SPEC)


def trial_of(service: Service, trial: Trial) -> Service:
    """The service as its trial container is created: without resources that can exist only once, and without labels by
    which others would find it."""
    config = {key: value for key, value in service.config.items() if key not in _EXCLUSIVE}
    labels = dict(config.get("labels") or {})
    config["labels"] = {name: labels[name] for name in _OURS if name in labels}
    if config.get("networks"):
        config["networks"] = {name: _attached(options or {}) for name, options in config["networks"].items()}
    if config.get("volumes") and not trial.shared_volumes:
        config["volumes"] = [_in_its_place(item) for item in config["volumes"]]
    name = f"{service.name}{SUFFIX}"
    return replace(
        service,
        name=name,
        config=config,
        replicas=1,
        depends_on=(),
        endpoints=tuple(Endpoint(item.network, (name,)) for item in service.endpoints),
        container_name=None,
        ports=(),
        update=AS_USUAL,
    )


def trials_of(desired: DesiredState) -> dict[ServiceKey, Service]:
    """The trial of each service that asks for one."""
    asked = [(item, item.update.trial) for item in desired.services().values()]
    made = [trial_of(service, trial) for service, trial in asked if trial is not None]
    return {service.key: service for service in made}


def untried(plan: Plan) -> Iterator[Violation]:
    """A warning for each service of a plan that gets no trial."""
    for item in plan.downtime:
        if item.untried:
            yield Violation(
                Reason.BUDGET_EXCEEDED if item.untried == NO_MEMORY else Reason.DEPENDENCY_NOT_READY,
                "untried",
                f"{item.stack}/{item.service} gets no trial: {item.untried}",
                "The switch itself is judged as always.",
                stack=item.stack,
                service=item.service,
                level=Level.WARN,
            )


def _attached(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key not in _EXCLUSIVE_IN_A_NETWORK}


def _in_its_place(mount: dict[str, Any]) -> dict[str, Any]:
    if mount["type"] not in WRITABLE_KINDS or mount.get("read_only"):
        return mount
    return {"type": "tmpfs", "target": mount["target"]}


class Trials:
    """Adds the steps of all trials. `surges`: (service, bytes after the step) of each start."""

    def __init__(self, diff: StateDiff, builder: PlanBuilder, cramped: Collection[ServiceKey]) -> None:
        """`cramped`: services for which there is not enough memory."""
        self._diff, self._builder, self._cramped = diff, builder, cramped
        self.surges: list[tuple[ServiceKey, int]] = []

    def end_left_over(self) -> None:
        """End trials that a killed agent has left running, before a new container needs their memory."""
        for key, items in self._diff.gone.items():
            left = [item for item in items if item.running]
            if key[1].endswith(SUFFIX) and key not in self._diff.known and left:
                self._diff.gone[key] = tuple(item for item in items if not item.running)
                for item in left:
                    self._builder.memory.stop(item.id)
                    cause = "its trial was cut off"
                    self._builder.add(Action.REMOVE_CONTAINER, *key, item.name, cause, id=item.id, change=Change.TRIAL)

    def add(self, start_first: Collection[ServiceKey], late: Collection[ServiceKey]) -> None:
        """`start_first`: services that are replaced start-first, and so need no trial. `late`: services whose network
        is not there yet."""
        for service in self._diff.order if self._diff.intent is Intent.ADVANCE else ():
            trial, pairing = service.update.trial, self._diff.pairings[service.key]
            if trial is None or service.key in start_first or not self._replaces(pairing):
                continue
            why = self._obstacle(service, late)
            if why:
                self._builder.untried[service.key] = why
            else:
                self._try(service, trial_of(service, trial), trial)

    def _replaces(self, pairing: Pairing) -> bool:
        """Whether the service is replaced: only then it is tried, because a new service stops nothing."""
        new = any(slot.container is None or not has_run(slot.container) for slot in pairing.slots)
        return new and any(item.running for item in pairing.extras)

    def _obstacle(self, service: Service, late: Collection[ServiceKey]) -> str:
        if service.completes:
            return "it is a one-shot"
        if borrowed := borrows(service):
            return borrowed
        if service.key in late:
            return "its network is replaced"
        if (service.stack, f"{service.name}{SUFFIX}") in self._diff.services:
            return f"a service has the name {service.name}{SUFFIX}"
        changed = self._changed_dependency(service)
        if changed:
            return f"it depends on {changed}, which changes with it"
        return NO_MEMORY if service.key in self._cramped else ""

    def _changed_dependency(self, service: Service) -> str:
        """A dependency, direct or not, that this commit changes or starts: a trial would use the old one."""
        waiting, seen = sorted(needs(service)), set[ServiceKey]()
        while waiting:
            key = waiting.pop(0)
            pairing = self._diff.pairings.get(key)
            if key in seen or pairing is None:
                continue
            seen.add(key)
            kept = [slot.container for slot in pairing.slots if slot.container is not None]
            serve = all(item.running or (pairing.service.completes and completed(item)) for item in kept)
            if pairing.missing or not serve:
                return key[1]
            waiting += sorted(needs(pairing.service))
        return ""

    def _try(self, service: Service, tried: Service, trial: Trial) -> None:
        builder, name = self._builder, tried.container(1)
        time = self._diff.desired.gate(service.stack).min_healthy_time if trial.time is None else trial.time
        condition = Condition.HEALTHY if service.healthcheck else Condition.STARTED
        builder.add(Action.CREATE_CONTAINER, *tried.key, name, "is tried before anything stops", name=name)
        builder.memory.start(name, footprint.of_service(tried), footprint.mounted(tried.config))
        builder.add(Action.START_CONTAINER, *tried.key, name, "created", change=Change.TRIAL)
        self.surges.append((service.key, builder.memory.total))
        change, wait = Change.TRIAL, f"must be healthy for {time:g} s"
        builder.add(Action.WAIT_HEALTHY, *tried.key, tried.name, wait, condition=condition, change=change, pause=time)
        builder.memory.stop(name)
        builder.add(Action.REMOVE_CONTAINER, *tried.key, name, "the trial is over", change=Change.TRIAL)
