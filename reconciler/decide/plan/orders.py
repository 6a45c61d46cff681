"""Which services are replaced start-first, and why one that asks for it is replaced stop-first all the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reconciler.decide.plan.diff import StateDiff
from reconciler.decide.plan.exclusive import WRITABLE_KINDS
from reconciler.model.desired import DRAIN, Service, Update
from reconciler.model.documents import START_FIRST, STOP_FIRST
from reconciler.model.observed import Container, is_anonymous
from reconciler.model.outcome import Intent

NO_MEMORY = "both together would take more memory than is allowed"
"""The one reason that depends on the other services: see `planner.plan`."""

SHARED_DEVICES = ("/dev/dri", "/dev/kfd", "/dev/nvidia", "/dev/net/tun", "/dev/fuse", "/dev/kvm")
"""Beginnings of the paths of devices that several programs can use at once. Others are mostly serial ports and
cameras."""


def update_of(service: Service, diff: StateDiff) -> Update:
    """How the service is replaced. A rollback also goes start-first if the failed commit asks for it, so that nothing
    stops without need."""
    before = diff.known.get(service.key)
    asked = before.update if diff.intent is Intent.REVERT and before is not None else service.update
    return asked if asked.order == START_FIRST else service.update


def drain_of(service: Service, update: Update) -> float:
    """Seconds for which an old container serves beside its successor. A service without networks needs no drain: no
    client has to notice the successor."""
    if update.drain is not None:
        return update.drain
    return DRAIN if service.endpoints else 0.0


def order_of(service: Service) -> str:
    """The order in which the service is replaced, as far as its file alone decides."""
    return STOP_FIRST if next(_alone(service, service.update), "") else service.update.order


def alone(service: Service, update: Update, diff: StateDiff) -> str:
    """Why two containers of the service cannot run side by side; '' if they can."""
    pairing = diff.pairings[service.key]
    if service.key in diff.namespace_users or any(item.id in _shared(diff) for item in pairing.extras):
        return "other services share its namespaces"
    if any(diff.loses_network(item) for item in pairing.extras):
        return "its network is replaced"
    inherited = [item for item in pairing.extras if not update.shared_volumes and _keeps_data(item)]
    return next(_alone(service, update), "it may write a volume without a name" if inherited else "")


def borrows(service: Service) -> str:
    """Why a second container of the service would disturb the first one: both would use a network, a namespace or a
    device that is not their own. '' if they would not."""
    config = service.config
    if config.get("network_mode") == "host":
        return "it uses the host's network"
    if service.shares:
        return f"it shares with {', '.join(service.shares)}"
    for used in (config.get("network_mode"), *(config.get("volumes_from") or ())):
        if str(used).startswith("container:"):
            return f"it shares with {str(used).split(':')[1]}"
    devices = (item if isinstance(item, str) else item["source"] for item in config.get("devices") or ())
    paths = (item.partition(":")[0] for item in devices)
    single = next((path for path in paths if path.startswith("/") and not path.startswith(SHARED_DEVICES)), "")
    return f"only one container can use the device {single}" if single else ""


def found_by_labels(service: Service) -> bool:
    """Whether a proxy finds it by its labels: such a proxy uses addresses, not aliases."""
    return any(name == "caddy" or name.startswith(("caddy.", "caddy_", "traefik.")) for name in _labels(service))


def _alone(service: Service, update: Update) -> Iterator[str]:
    config = service.config
    if service.completes:
        yield "it is a one-shot"
    if service.container_name:
        yield f"only one container can have the name {service.container_name}"
    if config.get("hostname"):  # the engine's name server hands it out, like an alias
        yield f"only one container can have the host name {config['hostname']}"
    for _, number, protocol in service.ports:
        yield f"only one container can publish port {number}/{protocol}"
    for endpoint in service.endpoints:
        fixed = endpoint.ipv4 or endpoint.ipv6 or endpoint.mac or next(iter(endpoint.link_local), None)
        if fixed:
            yield f"only one container can have the address {fixed}"
    if config.get("mac_address"):
        yield f"only one container can have the address {config['mac_address']}"
    if borrowed := borrows(service):
        yield borrowed
    for mount in config.get("volumes") or () if not update.shared_volumes else ():
        if mount["type"] in WRITABLE_KINDS and not mount.get("read_only"):
            yield f"it may write {mount.get('source') or 'a volume without a name'}"
    if _seen_too_early(service):
        yield "a proxy that finds it by its labels would use the new container before it is healthy"


def _seen_too_early(service: Service) -> bool:
    """Whether a proxy would send requests before the container is healthy: Traefik waits for the health check,
    caddy-docker-proxy does not (ADR 23)."""
    labels = _labels(service)
    by_caddy = any(name == "caddy" or name.startswith(("caddy.", "caddy_")) for name in labels)
    return by_caddy or (found_by_labels(service) and not service.healthcheck)


def _labels(service: Service) -> dict[str, Any]:
    return dict(service.config.get("labels") or {})


def _keeps_data(item: Container) -> bool:
    """Whether the container has a volume that its image declares, and that its successor takes over."""
    return any(mount.writable and mount.kind == "volume" and is_anonymous(mount.source) for mount in item.mounts)


def _shared(diff: StateDiff) -> frozenset[str]:
    return frozenset(id for item in diff.observed.containers if item.running for id in item.shares)
