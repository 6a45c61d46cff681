"""Names, published ports, addresses and subnets that two services or networks of one host cannot share."""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from reconciler.decide.admit.budget import replicas
from reconciler.decide.admit.policies.objects import ID
from reconciler.decide.admit.policies.subject import Finding, Json, ServiceSubject, Subject
from reconciler.decide.slots import STANDBY
from reconciler.formats.cidr import Range, overlap, plain_address, range_of
from reconciler.formats.yamls import Pointer
from reconciler.values import dataclass

MOST_REPLICAS = 1000
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
"""Names that the engine allows for a container (moby, daemon/names)."""


@dataclass(frozen=True, slots=True)
class _Claim:
    """`count` ports out of `first`…`last` that a service needs on one address ('' is any address of the family)."""

    service: ServiceSubject
    index: int
    protocol: str
    family: int
    address: str
    first: int
    last: int
    count: int

    def meets(self, other: _Claim) -> bool:
        same_kind = (self.protocol, self.family) == (other.protocol, other.family)
        return same_kind and (self.address == other.address or "" in (self.address, other.address))

    def within(self, other: _Claim) -> bool:
        return other.first <= self.first and self.last <= other.last

    @property
    def ports(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class _Pool:
    """One subnet that a network of the commit chooses. `network`: its key in the model."""

    of: Subject
    network: str
    index: int
    range: Range

    @property
    def name(self) -> str:
        return f"{self.of.stack}/{self.network}"


def findings(subjects: Sequence[Subject], stacks: Sequence[str]) -> Iterator[Finding]:
    """`stacks`: the names of all stacks of the host; some may have no model to judge."""
    yield from _ports(subjects)
    yield from _container_names(subjects)
    yield from _addresses_chosen(subjects)
    yield from _subnets(subjects)
    yield from _too_small(subjects)
    for kind in ("networks", "volumes"):
        yield from _object_names(subjects, kind, stacks)


def _ports(subjects: Sequence[Subject]) -> Iterator[Finding]:
    claims = [claim for subject in subjects for service in subject.services() for claim in _claims(service)]
    told: set[tuple[str, str, int]] = set()
    for claim, rivals in (*_single_conflicts(claims), *_range_conflicts(claims)):
        key = (claim.service.of.stack, claim.service.name, claim.index)
        if key not in told:
            told.add(key)
            yield _port_conflict(claim, rivals)


def _single_conflicts(claims: Sequence[_Claim]) -> Iterator[tuple[_Claim, list[_Claim]]]:
    earlier: dict[int, list[_Claim]] = defaultdict(list)
    for claim in claims:
        if claim.first == claim.last:
            rivals = [item for item in earlier[claim.first] if item.meets(claim)]
            if rivals or claim.count > 1:
                yield claim, rivals
            earlier[claim.first].append(claim)


def _range_conflicts(claims: Sequence[_Claim]) -> Iterator[tuple[_Claim, list[_Claim]]]:
    """A range is too small if the claims that only it can satisfy need more ports than it has."""
    for span in claims:
        if span.first != span.last:
            rivals = [item for item in claims if item.within(span) and item.meets(span)]
            if sum(item.count for item in rivals) > span.last - span.first + 1:
                yield span, rivals


def _port_conflict(claim: _Claim, rivals: Sequence[_Claim]) -> Finding:
    others = sorted({f"{r.service.of.stack}/{r.service.name}" for r in rivals if r.service != claim.service})
    if others:
        by = f"and {', '.join(others)} too"
    else:
        by = f"and {claim.count} replicas need one each" if claim.count > 1 else "twice"
    what = f"publishes port {claim.ports}/{claim.protocol}, {by}"
    return claim.service.finding("port-conflict", ("ports", claim.index), what)


def _claims(service: ServiceSubject) -> Iterator[_Claim]:
    count = replicas(service.model)
    for index, port in enumerate(service.model.get("ports") or ()):
        first, _, last = str(port.get("published") or "").partition("-")
        if not first.isdigit() or first == "0" or not count:
            continue
        for family, address in _addresses(str(port.get("host_ip") or "")):
            protocol = port.get("protocol") or "tcp"
            yield _Claim(service, index, protocol, family, address, int(first), int(last or first), count)


def _addresses(text: str) -> tuple[tuple[int, str], ...]:
    """(family, address). Without an address the engine listens on every address of both families."""
    if not text:
        return ((4, ""), (6, ""))
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ((4, text),)
    return ((address.version, "" if address.is_unspecified else str(address)),)


def _container_names(subjects: Sequence[Subject]) -> Iterator[Finding]:
    taken: dict[str, str] = {}
    for subject in subjects:
        for service in subject.services():
            yield from _container_name(service, taken)


def _container_name(service: ServiceSubject, taken: dict[str, str]) -> Iterator[Finding]:
    fixed, count = service.model.get("container_name"), replicas(service.model)
    place: Pointer = ("container_name",) if fixed else ()
    if fixed and (not _NAME.fullmatch(fixed) or fixed.endswith(STANDBY) or ID.fullmatch(fixed)):
        yield service.finding("invalid-name", place, f"its container would be named {fixed}")
    if fixed and count > 1:
        yield service.finding("replicas-with-name", place, f"{count} replicas would be named {fixed}")
    if count > MOST_REPLICAS:
        key = ("scale",) if service.model.get("scale") is not None else ("deploy", "replicas")
        yield service.finding("too-many-replicas", key, f"{count} replicas")
        return
    own = f"{service.of.stack}/{service.name}"
    numbered = [f"{service.of.stack}-{service.name}-{number}" for number in range(1, count + 1)]
    for name in [fixed] if fixed else numbered:
        if taken.setdefault(name, own) != own:
            yield service.finding("name-conflict", place, f"its container is called {name}, as that of {taken[name]}")


def _addresses_chosen(subjects: Sequence[Subject]) -> Iterator[Finding]:
    """Chosen addresses that another container of the network, or the network itself, would have, too."""
    taken: dict[tuple[str, str], str] = {}
    for subject in subjects:
        taken |= _reserved(subject)
    for subject in subjects:
        for service in subject.services():
            own, count = f"{subject.stack}/{service.name}", replicas(service.model)
            for network, pointer, text in _chosen(service) if count else ():
                holder = taken.setdefault((network, plain_address(text)), own)
                if holder != own or count > 1:
                    by = f"which {holder} has" if holder != own else f"and {count} replicas need one each"
                    yield service.finding("address-conflict", pointer, f"asks for the address {text}, {by}")


def _chosen(service: ServiceSubject) -> Iterator[tuple[str, Pointer, str]]:
    """(network's name, place, address) of the addresses in the service's own definition."""
    attached: Json = service.model.get("networks") or {}
    for key, options in attached.items():
        network = _network_name(service.of, key)
        for name in ("ipv4_address", "ipv6_address", "mac_address"):
            if text := (options or {}).get(name):
                yield network, ("networks", key, name), str(text)
    if (text := service.model.get("mac_address")) and len(attached) == 1:
        yield _network_name(service.of, next(iter(attached))), ("mac_address",), str(text)


def _network_name(subject: Subject, key: str) -> str:
    return str(((subject.model.get("networks") or {}).get(key) or {}).get("name") or key)


def _reserved(subject: Subject) -> dict[tuple[str, str], str]:
    """(network's name, address) → what the network itself needs it for."""
    found: dict[tuple[str, str], str] = {}
    for key, network in _owned(subject, "networks"):
        for pool in (network.get("ipam") or {}).get("config") or ():
            kept = {"": _gateway(network, pool or {}), **((pool or {}).get("aux_addresses") or {})}
            for name, text in kept.items():
                what = f"{name} among the aux_addresses" if name else "the gateway"
                if text:
                    found[_network_name(subject, key), plain_address(str(text))] = f"{what} of network {key}"
    return found


def _gateway(network: Json, pool: Json) -> str | None:
    """The gateway's address; None if it is not known. The engine gives a bridge without a chosen gateway the
    first address of its subnet."""
    chosen, subnet = pool.get("gateway"), range_of(str(pool.get("subnet") or ""))
    usual = (network.get("driver") or "bridge") == "bridge" and not network.get("driver_opts")
    if chosen or subnet is None or pool.get("ip_range") or not usual or subnet.num_addresses < 4:
        return chosen
    return str(subnet[1])


def _subnets(subjects: Sequence[Subject]) -> Iterator[Finding]:
    """Each network whose range lies in that of another, or in another range of its own. Two overlapping ranges always
    nest."""
    pools = sorted(_pools(subjects), key=lambda pool: (pool.range.version, pool.range))  # outer ranges first
    widest: _Pool | None = None
    for pool in pools:
        if widest is None or not overlap(widest.range, pool.range):
            widest = pool
            continue
        whose = "itself" if (pool.of, pool.network) == (widest.of, widest.network) else f"network {widest.name}"
        what = f"network {pool.name} has the subnet {pool.range}, which overlaps {widest.range} of {whose}"
        pointer = ("networks", pool.network, "ipam", "config", pool.index, "subnet")
        yield pool.of.finding("subnet-conflict", pointer, what)


def _too_small(subjects: Sequence[Subject]) -> Iterator[Finding]:
    """Bridges with fewer addresses than the lasting containers of their stack need. The engine would say so only when
    the old containers are stopped. Where it is not sure, there are enough."""
    for pool in _pools(subjects):
        network: Json = pool.of.model["networks"][pool.network]
        [first, *others] = network["ipam"]["config"]
        bridged = (network.get("driver") or "bridge") == "bridge"
        if others or first.get("ip_range") or not bridged or pool.range.version != 4 or pool.range.num_addresses < 4:
            continue
        # The first and the last address belong to no container.
        free = pool.range.num_addresses - 2 - bool(_gateway(network, first)) - len(first.get("aux_addresses") or ())
        attached = [item.model for item in pool.of.services() if pool.network in (item.model.get("networks") or ())]
        asked = sum(replicas(model) for model in attached if model.get("restart") not in (None, "", "no"))
        if asked > free:
            what = f"network {pool.name} has {max(0, free)} addresses for {asked} containers in {pool.range}"
            yield pool.of.finding("subnet-too-small", ("networks", pool.network, "ipam", "config", 0, "subnet"), what)


def _pools(subjects: Sequence[Subject]) -> Iterator[_Pool]:
    for subject in subjects:
        for key, network in _owned(subject, "networks"):
            bridged = (network.get("driver") or "bridge") == "bridge"
            for index, pool in enumerate((network.get("ipam") or {}).get("config") or ()):
                found = range_of(str((pool or {}).get("subnet") or ""))
                # two networks of a driver without bridges may divide a subnet between them by ip_range
                if found is not None and (bridged or not pool.get("ip_range")):
                    yield _Pool(subject, key, index, found)


def _object_names(subjects: Sequence[Subject], kind: str, stacks: Sequence[str]) -> Iterator[Finding]:
    """Names that two stacks own, or that begin like the names of another stack."""
    owners: Mapping[str, list[str]] = _owners(subjects, kind)
    for subject in subjects:
        others = [stack for stack in stacks if stack != subject.stack]
        for key, definition in _owned(subject, kind):
            name = str(definition.get("name") or "")
            owner = next((stack for stack in owners[name] if stack != subject.stack), None)
            owner = owner or _prefix_owner(name, subject.stack, others)
            if owner:
                what = f"{kind}.{key} is called {name}, which belongs to the stack {owner}"
                yield subject.finding("foreign-name", (kind, key, "name"), what)


def _owners(subjects: Sequence[Subject], kind: str) -> Mapping[str, list[str]]:
    owners: dict[str, list[str]] = defaultdict(list)
    for subject in subjects:
        for _, definition in _owned(subject, kind):
            owners[str(definition.get("name") or "")].append(subject.stack)
    return owners


def _owned(subject: Subject, kind: str) -> Iterator[tuple[str, Json]]:
    for key, definition in sorted((subject.model.get(kind) or {}).items()):
        if definition and not definition.get("external"):
            yield key, definition


def _prefix_owner(name: str, stack: str, others: Sequence[str]) -> str | None:
    if name.startswith(f"{stack}_"):
        return None
    return next((other for other in others if name.startswith(f"{other}_")), None)
