"""Sync and health of services, stacks and the host."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reconciler.decide import footprint
from reconciler.decide.plan.trials import SUFFIX
from reconciler.decide.status.explain import active, explain
from reconciler.decide.status.revisions import attempt_at, head_is_applied, last_applied, last_attempted, warnings
from reconciler.decide.status.service_status import counted, judge_unwanted, judge_wanted, worst
from reconciler.model.desired import DesiredState, ServiceKey, wanted_networks
from reconciler.model.engine import Engine, joined
from reconciler.model.observed import COMPOSE_PROJECT, LABEL_HOST, Container
from reconciler.model.outcome import Outcome, Reason
from reconciler.model.status import (
    Health,
    HostStatus,
    MemoryStatus,
    ServiceStatus,
    StackStatus,
    StatusFacts,
    Sync,
)


def judge(facts: StatusFacts) -> HostStatus:
    """The status of the whole host. Total: every combination of known and unknown inputs has a result."""
    stacks = _stacks(facts)
    sync = _sync(facts, stacks)
    health = _health(facts, stacks)
    reason, message, since = explain(facts, health, stacks)
    return HostStatus(
        sync=sync,
        health=health,
        reason=reason,
        message=message,
        since=since,
        stalled=_stalled(facts),
        last_attempted=last_attempted(facts),
        last_applied=last_applied(facts),
        last_good=(facts.history.last_good.revision or None) if facts.history.last_good else None,
        memory=_memory(facts),
        stacks=stacks,
        leftovers=_leftovers(facts),
        leftover_networks=_leftover_networks(facts),
        warnings=warnings(facts),
        engine=_engine(facts),
    )


def exit_code(facts: StatusFacts, status: HostStatus) -> int:
    """0: Synced and Healthy. 4: stalled. 3: the engine was asked and did not answer. 1: anything else."""
    if status.stalled:
        return 4
    if facts.engine_error is not None:
        return 3
    return 0 if (status.sync, status.health) == (Sync.SYNCED, Health.HEALTHY) else 1


def _stacks(facts: StatusFacts) -> tuple[StackStatus, ...]:
    if facts.desired is None:
        return ()
    rows = [*_wanted(facts, facts.desired), *_unwanted(facts, facts.desired)]
    suspended = {stack.name for stack in facts.desired.stacks if stack.suspended}
    names = dict.fromkeys([stack.name for stack in facts.desired.stacks] + [row.stack for row in rows])
    return tuple(_stack(name, [row for row in rows if row.stack == name], name in suspended) for name in names)


def _stack(name: str, rows: Sequence[ServiceStatus], suspended: bool) -> StackStatus:
    health = Health.SUSPENDED if suspended else worst(row.health for row in rows)
    return StackStatus(name, _together(row.sync for row in rows), health, tuple(rows))


def _wanted(facts: StatusFacts, desired: DesiredState) -> list[ServiceStatus]:
    seen = None if facts.observed is None else _by_service(facts.observed.containers)
    return [
        judge_wanted(
            service,
            None if seen is None else seen.get(key, []),
            service.spec in facts.history.ran_once,
            facts.usage,
        )
        for key, service in desired.services().items()
    ]


def _unwanted(facts: StatusFacts, desired: DesiredState) -> list[ServiceStatus]:
    if facts.observed is None:
        return []
    ours = counted(item for item in facts.observed.containers if item.host == facts.host)
    wanted = set(desired.services())
    if facts.rollout is not None:  # the service of a running trial has a row; a trial that is left over gets its own
        wanted |= {(stack, f"{name}{SUFFIX}") for stack, name in wanted}
    found = _by_service(item for item in ours if (item.stack, item.service) not in wanted)
    return [judge_unwanted(*key, found[key], facts.usage) for key in sorted(found)]


def _by_service(containers: Iterable[Container]) -> dict[ServiceKey, list[Container]]:
    found: dict[ServiceKey, list[Container]] = {}
    for item in containers:
        found.setdefault((item.stack, item.service), []).append(item)
    return found


def _together(parts: Iterable[Sync]) -> Sync:
    known = set(parts)
    return next((word for word in (Sync.UNKNOWN, Sync.OUT_OF_SYNC) if word in known), Sync.SYNCED)


def _sync(facts: StatusFacts, stacks: Sequence[StackStatus]) -> Sync:
    if facts.source.head is None:
        return Sync.UNKNOWN
    if not head_is_applied(facts):
        return Sync.OUT_OF_SYNC
    if facts.desired is None or facts.observed is None:
        return Sync.UNKNOWN
    return _together(stack.sync for stack in active(stacks))


def _health(facts: StatusFacts, stacks: Sequence[StackStatus]) -> Health:
    if _blocked(facts):
        return Health.DEGRADED
    if facts.suspension is not None and facts.rollout is None:
        return Health.SUSPENDED
    if facts.observed is None:
        return Health.UNKNOWN
    if facts.rollout is not None:
        return Health.PROGRESSING
    if facts.desired is None:
        return Health.MISSING
    # The head runs, but a person must correct something: its next start may fail.
    held = facts.holding is not None and facts.holding.until is None and head_is_applied(facts)
    return worst([*(stack.health for stack in active(stacks)), *([Health.DEGRADED] if held else [])])


def _blocked(facts: StatusFacts) -> bool:
    return facts.silence is not None and facts.silence.blocked


def _stalled(facts: StatusFacts) -> bool:
    if _blocked(facts):
        return True
    if facts.rollout is not None:
        return False
    if facts.holding is not None and facts.holding.reason is Reason.STALLED:
        return True
    last = facts.history.last
    untried = facts.source.head is not None and attempt_at(facts, facts.source.head) is None
    if last is None or last.outcome is not Outcome.ROLLBACK_FAILED or untried:
        return False
    return last.revision not in facts.history.lifted and last.id != facts.history.kept


def _engine(facts: StatusFacts) -> Engine | None:
    now = facts.observed.engine if facts.observed is not None else None
    return facts.history.engine if now is None else joined(now, facts.history.engine)


def _memory(facts: StatusFacts) -> MemoryStatus:
    desired, observed = facts.desired, facts.observed
    seen = observed if observed is not None and observed.complete else None
    wanted = None if desired is None else desired.memory
    return MemoryStatus(
        budget=wanted.budget if wanted else None,
        reserve=wanted.reserve if wanted else None,
        steady_limit=int(wanted.budget * wanted.steady) if wanted else None,
        steady=None if desired is None else footprint.steady(desired),
        engine=seen.memory_total if seen else None,
        committed=footprint.committed(seen) if seen else None,
        foreign=sum(map(footprint.of_foreign, seen.foreign)) if seen else None,
        measured=bool(facts.usage) if seen and any(item.running for item in seen.containers) else None,
    )


def _leftovers(facts: StatusFacts) -> tuple[str, ...] | None:
    """Volumes of stacks that are or were this host's, and that nothing uses."""
    if facts.desired is None or facts.observed is None or not facts.observed.complete:
        return None
    stacks = {stack.name for stack in facts.desired.stacks} | facts.history.stacks
    wanted = {volume.name for stack in facts.desired.stacks for volume in stack.volumes}
    return tuple(
        sorted(
            name
            for name, volume in facts.observed.volumes.items()
            if name not in wanted and volume.labels.get(COMPOSE_PROJECT) in stacks
        )
    )


def _leftover_networks(facts: StatusFacts) -> tuple[str, ...] | None:
    """Networks that this host made and that nothing uses."""
    if facts.desired is None or facts.observed is None or not facts.observed.complete:
        return None
    wanted = wanted_networks(facts.desired)
    return tuple(
        sorted(
            name
            for name, network in facts.observed.networks.items()
            if name not in wanted and network.labels.get(LABEL_HOST) == facts.desired.host
        )
    )
