"""Finds addresses in use that a chosen subnet would cover. Pure.

A network's subnet becomes a route of the machine: the machine can no longer reach other hosts there, and containers of
the commit answer instead. So a subnet is checked before the network is made, whatever was granted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from reconciler.formats.cidr import Range, overlap, range_of
from reconciler.model.addresses import Claim
from reconciler.model.desired import DesiredState, Network
from reconciler.model.observed import ObservedNetwork, ObservedState
from reconciler.model.plan import Action, Plan

_MAKES = (Action.CREATE_NETWORK, Action.REPLACE_NETWORK)
_BRIDGE = "com.docker.network.bridge.name"


def made(plan: Plan, desired: DesiredState) -> tuple[Network, ...]:
    """Networks that the plan makes, with a subnet that the commit chooses."""
    names = {step.container for step in plan.steps if step.action in _MAKES}
    networks = [item for stack in desired.stacks for item in stack.networks]
    return tuple(item for item in networks if item.name in names and chosen(item))


def chosen(network: Network) -> tuple[str, ...]:
    """The subnets in its definition."""
    pools = (network.definition.get("ipam") or {}).get("config") or ()
    return tuple(str(pool["subnet"]) for pool in pools if (pool or {}).get("subnet"))


def bridges(observed: ObservedState) -> frozenset[str]:
    """Interfaces of the engine's own networks. Routes through them belong to these networks."""
    networks = observed.networks.values()
    named = {str((item.raw.get("Options") or {}).get(_BRIDGE) or f"br-{item.id[:12]}") for item in networks}
    return frozenset(named)


def engine_claims(observed: ObservedState, without: Iterable[str]) -> Iterator[Claim]:
    """`without`: names of networks that will be replaced."""
    gone = set(without)
    for name, network in sorted(observed.networks.items()):
        if name not in gone:
            yield from (Claim(text, f"the network {name} of the engine") for text in _subnets(network))


def collisions(networks: Sequence[Network], claims: Iterable[Claim]) -> Iterator[tuple[Network, str, Claim]]:
    """(network, its subnet, conflicting claim), each network with its first conflict."""
    known = [(found, claim) for claim in claims if (found := range_of(claim.range)) is not None]
    for network in networks:
        met = next(_met(network, known), None)
        if met is not None:
            yield network, *met


def _met(network: Network, known: Sequence[tuple[Range, Claim]]) -> Iterator[tuple[str, Claim]]:
    for text in chosen(network):
        subnet = range_of(text)
        for there, claim in known:
            if subnet is not None and overlap(subnet, there):
                yield text, claim


def _subnets(network: ObservedNetwork) -> Iterator[str]:
    for pool in (network.raw.get("IPAM") or {}).get("Config") or ():
        if pool.get("Subnet"):
            yield str(pool["Subnet"])
