"""Finds addresses in use that a chosen subnet would cover, and networks that have a chosen bridge. Pure.

A network's subnet becomes a route of the machine: the machine can no longer reach other hosts there, and containers of
the commit answer instead. So a subnet is checked before the network is made, whatever was granted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from reconciler.decide.plan.ranges import bridge, chosen, chosen_bridge, held
from reconciler.formats.cidr import Range, overlap, range_of
from reconciler.model.addresses import Claim
from reconciler.model.desired import DesiredState, Network
from reconciler.model.observed import ObservedNetwork, ObservedState
from reconciler.model.plan import Action, Plan

_MAKES = (Action.CREATE_NETWORK, Action.REPLACE_NETWORK)


def made(plan: Plan, desired: DesiredState) -> tuple[Network, ...]:
    """Networks that the plan makes, with a subnet or a bridge that the commit chooses."""
    names = {step.container for step in plan.steps if step.action in _MAKES}
    networks = [item for stack in desired.stacks for item in stack.networks]
    return tuple(item for item in networks if item.name in names and (chosen(item) or chosen_bridge(item)))


def same_bridge(networks: Iterable[Network], observed: ObservedState, plan: Plan) -> Iterator[tuple[Network, str, str]]:
    """(network, bridge that it asks for, name of the network that has this bridge and stays)."""
    for network in networks:
        for there in _staying(observed, plan):
            if chosen_bridge(network) == bridge(there):
                yield network, bridge(there), there.name


def bridges(observed: ObservedState) -> frozenset[str]:
    """Interfaces of the engine's own networks. Routes through them belong to these networks."""
    return frozenset(bridge(item) for item in observed.networks.values())


def engine_claims(observed: ObservedState, plan: Plan) -> Iterator[Claim]:
    """Subnets of the networks that still exist when the plan makes new ones."""
    for network in _staying(observed, plan):
        yield from (Claim(text, f"the network {network.name} of the engine") for text in held(network))


def _staying(observed: ObservedState, plan: Plan) -> Iterator[ObservedNetwork]:
    before = plan.steps[: len(plan.steps) - plan.closing]
    gone = {step.container for step in before if step.action in (Action.REPLACE_NETWORK, Action.REMOVE_NETWORK)}
    yield from (network for name, network in sorted(observed.networks.items()) if name not in gone)


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
