"""Resources that only one running container can have: a published port, an address in a network, a volume that it
writes.

If one moves to another service, its present holder stops before the other service starts. Names are handled where
containers are renamed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set

from reconciler.decide.slots import Pairing
from reconciler.formats.cidr import plain_address
from reconciler.model.desired import DesiredState, Service
from reconciler.model.observed import Container, ObservedState
from reconciler.model.plan import Action, Plan
from reconciler.model.ports import Port, overlaps

WRITABLE_KINDS = ("volume", "bind")
PORT, ADDRESS, VOLUME, HOST = "port", "address", "volume", "host's ports"

Thing = tuple[str, str, str]
"""(PORT, number, protocol), (ADDRESS, network, address), (VOLUME, source, '') or (HOST, _ANY or _PUBLISHED, '')."""

_ANY, _PUBLISHED = "any", "published"
"""The ports of a container in the host's network, which nobody knows; the ports that a container publishes."""


class Holders:
    """Running containers that a plan replaces, by the resources that they hold and their service gives up."""

    def __init__(self, pairings: Iterable[Pairing], observed: ObservedState) -> None:
        self._found: dict[Thing, list[tuple[Pairing, Container]]] = {}
        for pairing in pairings:
            kept, asked = set(_written(pairing.service)), _all_asked(pairing.service)
            for item in filter(lambda one: one.running, pairing.extras):
                for thing in (*_held(item, observed, kept), *_given_up(item, pairing.service, asked)):
                    self._found.setdefault(thing, []).append((pairing, item))

    def of(self, service: Service) -> Iterator[tuple[Pairing, Container, str]]:
        """Containers of other services that must stop before this one starts, with the resource."""
        asked = _all_asked(service)
        for thing, what in _needed(service):
            for pairing, item in self._found.get(thing, ()):
                ports = thing[0] != PORT or any(overlaps(a, b) for a in asked for b in item.ports)
                if pairing.service.key != service.key and ports:
                    yield pairing, item, what


def _held(item: Container, observed: ObservedState, kept: Set[str]) -> Iterator[Thing]:
    """`kept`: sources that its own service still writes: they are shared on purpose."""
    for _, number, protocol in item.ports:
        yield PORT, str(number), protocol
    for network in item.networks:
        there = observed.networks.get(network)
        for address in there.addresses.get(item.id, ()) if there else ():
            yield ADDRESS, network, address
    for mount in item.mounts:
        if mount.writable and mount.kind in WRITABLE_KINDS and mount.source not in kept:
            yield VOLUME, mount.source, ""


def _given_up(item: Container, service: Service, asked: Sequence[Port]) -> Iterator[Thing]:
    """Ports of the host that the container holds and its service no longer uses. `asked`: those that the service
    still publishes."""
    if item.network_mode == "host" and not _in_host_network(service):
        yield HOST, _ANY, ""
    if any(port not in asked and ("", *port[1:]) not in asked for port in item.ports):
        yield HOST, _PUBLISHED, ""


def _in_host_network(service: Service) -> bool:
    return service.config.get("network_mode") == "host"


def _all_asked(service: Service) -> list[Port]:
    return [port for group in asked_ports(service) for port in group]


def _needed(service: Service) -> Iterator[tuple[Thing, str]]:
    """The exclusive resources of a service, with texts for people."""
    asked = _all_asked(service)
    for _, number, protocol in asked:
        yield (PORT, str(number), protocol), f"port {number}/{protocol}"
    if _in_host_network(service):
        yield (HOST, _PUBLISHED, ""), "a port of the host"
    if _in_host_network(service) or asked:
        yield (HOST, _ANY, ""), "a port of the host"
    for network, address in _asked(service):
        yield (ADDRESS, network, address), f"address {address}"
    for source in _written(service):
        yield (VOLUME, source, ""), f"volume {source}"


def occupied(desired: DesiredState, observed: ObservedState, plan: Plan) -> Iterable[tuple[Service, str, str]]:
    """(service, address, container's name): addresses held by containers that the plan keeps running."""
    stopped = {step.id for step in plan.steps if step.action is Action.STOP_CONTAINER}
    names = {item.id: item.name for item in observed.foreign} | {item.id: item.name for item in observed.containers}
    for service in desired.services().values():
        for network, asked in _asked(service):
            own = {item.id for item in observed.of(*service.key)}
            there = observed.networks.get(network)
            for holder, held in (there.addresses if there else {}).items():
                if asked in held and holder not in own | stopped:
                    yield service, asked, names.get(holder, holder[:12])


def asked_ports(service: Service) -> Iterator[tuple[Port, ...]]:
    """For each published port of the service's file: the ports from which a container gets one. That is a single port,
    or those of a range in the engine's order. Without an address a container needs the port on every address."""
    for item in service.config.get("ports") or ():
        first, _, last = str(item.get("published") or "").partition("-")
        address, protocol = str(item.get("host_ip") or ""), str(item.get("protocol") or "tcp")
        if first.isdigit() and int(first):
            yield tuple((address, number, protocol) for number in range(int(first), int(last or first) + 1))


def _asked(service: Service) -> Iterable[tuple[str, str]]:
    """(network, address) that the service's file chooses. A MAC address of the service is that of one of its
    networks."""
    for endpoint in service.endpoints:
        for address in (endpoint.ipv4, endpoint.ipv6, endpoint.mac or service.config.get("mac_address")):
            if address:
                yield endpoint.network, plain_address(address)


def _written(service: Service) -> Iterable[str]:
    """Sources of the volumes and folders that a container of the service may write."""
    for mount in service.config.get("volumes") or ():
        if mount["type"] in WRITABLE_KINDS and mount.get("source") and not mount.get("read_only"):
            yield str(mount["source"])
