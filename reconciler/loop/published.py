"""Waits for published ports that somebody else holds, before anything stops. Otherwise each try would be an outage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reconciler.decide.plan.exclusive import asked_ports
from reconciler.errors import Transient
from reconciler.loop.options import Ports
from reconciler.model.desired import DesiredState, Service
from reconciler.model.observed import ObservedState
from reconciler.model.outcome import Reason
from reconciler.model.ports import CONTAINER, Port, overlaps


def check_ports(ports: Ports, desired: DesiredState, observed: ObservedState) -> None:
    """Transient for the first port that another program, or a container of a suspended stack, holds. A container that
    leaves the host's network may be that program, and it stops before anybody gets its ports."""
    suspended = {stack.name for stack in desired.stacks if stack.suspended}
    running = [item for item in observed.containers if item.running]
    ours = {port for item in running if item.stack not in suspended for port in item.ports}
    kept = {
        port: f"{CONTAINER}{item.name} of the suspended stack {item.stack}"
        for item in running
        if item.stack in suspended
        for port in item.ports
    }
    asked = [
        (service, group)
        for service in desired.services().values()
        if service.stack not in suspended
        for group in asked_ports(service)
    ]
    wanted = {port for _, group in asked for port in group if not _is_held(port, ours)}
    taken = dict(ports.observer.ports_taken(wanted)) if wanted else {}
    taken |= {port: name for port in wanted for held, name in kept.items() if overlaps(port, held)}
    staying = {key for key, service in desired.services().items() if service.config.get("network_mode") == "host"}
    there = {(item.stack, item.service) for item in running if item.network_mode == "host"}
    if any(key not in staying and key[0] not in suspended for key in there):
        taken = {port: holder for port, holder in taken.items() if holder.startswith(CONTAINER)}
    for service, group in asked:
        port = _missing(group, service.replicas, taken)
        if port is not None:
            raise Transient(
                Reason.DEPENDENCY_NOT_READY, _message(service, group, port, taken[port]), _hint(taken[port])
            )


def _is_held(port: Port, ours: set[Port]) -> bool:
    """Whether our own containers, which stop first, hold exactly this port. For a port on every address, engines
    name no address, or two."""
    return port in ours or (not port[0] and bool({("0.0.0.0", *port[1:]), ("::", *port[1:])} & ours))  # noqa: S104


def _missing(group: Sequence[Port], containers: int, taken: Mapping[Port, str]) -> Port | None:
    """The port for which a service would have to wait. Of a range the engine takes the first one that no container
    holds, and fails if another process holds that."""
    if len(group) == 1:
        return group[0] if group[0] in taken else None
    left = [port for port in group if not taken.get(port, "").startswith(CONTAINER)]
    if len(left) < containers:
        return next(port for port in group if port not in left)
    return next((port for port in left[:containers] if port in taken), None)


def _message(service: Service, group: Sequence[Port], port: Port, holder: str) -> str:
    name = f"{service.stack}/{service.name}"
    if len(group) > 1:
        text = _text(group[0]).replace("/", f"-{group[-1][1]}/", 1)
        return f"{name} wants one of the ports {text}, and {holder} holds {port[1]}"
    return f"{name} wants port {_text(port)}, which {holder} holds"


def _text(port: Port) -> str:
    address, number, protocol = port
    return f"{f'{address}:' if address else ''}{number}/{protocol}"


def _hint(holder: str) -> str:
    end = "end the suspension of that stack" if "suspended" in holder else "stop the holder"
    return f"{end} or publish another port; it is tried again by itself"
