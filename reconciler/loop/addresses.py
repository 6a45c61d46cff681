"""Holds a commit with a network whose subnet covers addresses that the machine, the engine or the agent itself uses, or
whose bridge another network has."""

from __future__ import annotations

from reconciler.errors import Transient
from reconciler.loop.context import TurnContext
from reconciler.model.desired import DesiredState
from reconciler.model.images import registry
from reconciler.model.observed import ObservedState
from reconciler.model.outcome import Reason
from reconciler.model.plan import Plan


def check_subnets(context: TurnContext, plan: Plan, desired: DesiredState, observed: ObservedState) -> None:
    """Transient if the plan would make a network with a chosen subnet or bridge that is in use. No call if the plan
    makes no such network."""
    from reconciler.decide.hold import subnets

    networks = subnets.made(plan, desired)
    if not networks:
        return
    for network, bridge, other in subnets.same_bridge(networks, observed, plan):
        raise Transient(
            Reason.DEPENDENCY_NOT_READY,
            f"network {network.name} would take the bridge {bridge}, which the network {other} has",
            "choose another name for the bridge, or leave it out; nothing is made until then",
        )
    refs = [service.image_ref for service in desired.services().values()]
    hosts = [*context.options.hosts, *(host for ref in refs if (host := registry(ref)))]
    found = context.ports.observer.addresses_used(subnets.bridges(observed), hosts)
    claims = [*subnets.engine_claims(observed, plan), *found]
    for network, subnet, claim in subnets.collisions(networks, claims):
        raise Transient(
            Reason.DEPENDENCY_NOT_READY,
            f"network {network.name} would take {subnet}, in which lies {claim.what}: "
            "this machine would no longer reach it",
            "choose another subnet, or leave it out and let the engine choose; nothing is made until then",
        )
