"""The status of one service: its containers compared with the desired state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from reconciler.decide.plan.orders import order_of
from reconciler.decide.slots import STANDBY
from reconciler.model.desired import Service
from reconciler.model.observed import Container
from reconciler.model.outcome import Reason
from reconciler.model.status import Health, ServiceStatus, Sync
from reconciler.model.times import engine_time

WORST_LAST = (
    Health.HEALTHY,
    Health.SUSPENDED,
    Health.PROGRESSING,
    Health.MISSING,
    Health.DEGRADED,
    Health.UNKNOWN,
)
"""Argo CD's order: a group is as healthy as its worst member."""


def worst(parts: Iterable[Health]) -> Health:
    """The health of a group; Healthy if it is empty."""
    return max(parts, key=WORST_LAST.index, default=Health.HEALTHY)


def counted(containers: Iterable[Container]) -> tuple[Container, ...]:
    """The service's own containers: no standbys, nothing from `compose run`."""
    return tuple(item for item in containers if not item.oneoff and not item.name.endswith(STANDBY))


def judge_wanted(
    service: Service, containers: Sequence[Container] | None, done: bool, usage: Mapping[str, int]
) -> ServiceStatus:
    """A service of the desired state.

    `containers`: its own, inspected; None: the engine could not be asked. `done`: a one-shot with exactly this spec has
    succeeded before, so its container may be gone. `usage`: container id → bytes.
    """
    if containers is None:
        return _unknown(service)
    present = counted(containers)
    started = present
    if any(item.running for item in present):  # a candidate that has not started must not hide what runs
        started = tuple(item for item in present if item.state != "created")
    current = tuple(item for item in started if item.spec == service.spec) or started
    health, reason = _service_health(service, current, done)
    return ServiceStatus(
        stack=service.stack,
        service=service.name,
        sync=_sync(service, present, done),
        health=health,
        reason=reason,
        desired=service.replicas,
        running=sum(item.running for item in present),
        order=order_of(service),
        limit=service.memory * service.replicas,
        usage=_usage(current, usage),
        image=service.image_ref,
        containers=tuple(item.id for item in present),
        since=_since(current),
        ports=_ports(present),
    )


def judge_unwanted(stack: str, name: str, containers: Sequence[Container], usage: Mapping[str, int]) -> ServiceStatus:
    """A running service of ours that is no longer in the desired state."""
    judged = [_container_health(item, completes=True) for item in containers]
    health = worst(item for item, _ in judged)
    return ServiceStatus(
        stack=stack,
        service=name,
        sync=Sync.OUT_OF_SYNC,
        health=health,
        reason=next((reason for item, reason in judged if item is health), None),
        desired=0,
        running=sum(item.running for item in containers),
        order=None,
        limit=sum(item.memory for item in containers) or None,
        usage=_usage(containers, usage),
        image=containers[0].image or None,
        containers=tuple(item.id for item in containers),
        since=_since(containers),
        ports=_ports(containers),
    )


def _ports(containers: Iterable[Container]) -> tuple[tuple[str, int, str], ...]:
    return tuple(sorted({port for item in containers if item.running for port in item.ports}))


def _unknown(service: Service) -> ServiceStatus:
    return ServiceStatus(
        stack=service.stack,
        service=service.name,
        sync=Sync.UNKNOWN,
        health=Health.UNKNOWN,
        reason=Reason.ENGINE_UNAVAILABLE,
        desired=service.replicas,
        running=None,
        order=order_of(service),
        limit=service.memory * service.replicas,
        usage=None,
        image=service.image_ref,
        containers=None,
        since=None,
    )


def _sync(service: Service, present: Sequence[Container], done: bool) -> Sync:
    if not present and done:
        return Sync.SYNCED
    if len(present) == service.replicas and all(_as_wanted(service, item, done) for item in present):
        return Sync.SYNCED
    return Sync.OUT_OF_SYNC


def _as_wanted(service: Service, container: Container, done: bool) -> bool:
    if container.spec != service.spec:
        return False
    if container.state in ("running", "restarting"):
        return {endpoint.network for endpoint in service.endpoints} <= container.networks
    return service.completes and _ended_well(container, done)


def _service_health(service: Service, current: Sequence[Container], done: bool) -> tuple[Health, Reason | None]:
    if not current and done:
        return Health.HEALTHY, None
    judged = [_container_health(item, service.completes, done) for item in current]
    if len(current) < service.replicas:
        judged.append((Health.MISSING, None))
    health = worst(item for item, _ in judged)
    return health, next((reason for item, reason in judged if item is health and reason), None)


def _container_health(container: Container, completes: bool, done: bool = False) -> tuple[Health, Reason | None]:
    match container.state:
        case "running":
            return _probed(container)
        case "paused":
            return Health.SUSPENDED, None
        case "created" | "removing":
            return Health.MISSING, None
        case "exited" if completes and _ended_well(container, done):
            return Health.HEALTHY, None
    return Health.DEGRADED, Reason.OUT_OF_MEMORY if container.oom_killed else Reason.CRASHED


def _probed(container: Container) -> tuple[Health, Reason | None]:
    if container.health == "unhealthy":
        return Health.DEGRADED, Reason.HEALTH_CHECK_FAILED
    return (Health.PROGRESSING if container.health == "starting" else Health.HEALTHY), None


def _ended_well(container: Container, done: bool) -> bool:
    """A list does not say whether a container was started; one with an exit code was."""
    started = done or engine_time(container.started_at) is not None
    return container.state == "exited" and container.exit_code == 0 and started


def _usage(containers: Sequence[Container], usage: Mapping[str, int]) -> int | None:
    measured = [usage[item.id] for item in containers if item.id in usage]
    return sum(measured) if measured else None


def _since(containers: Sequence[Container]) -> float | None:
    starts = [start for item in containers if (start := engine_time(item.started_at)) is not None]
    return max(starts, default=None)
