"""What only one network of the engine can have: its ranges of addresses, and the name of its bridge.

If one moves to another network, the network that has it is removed before the other one is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reconciler.formats.cidr import overlap, range_of
from reconciler.model.desired import Network
from reconciler.model.observed import ObservedNetwork

_BRIDGE = "com.docker.network.bridge.name"


def chosen(network: Network) -> tuple[str, ...]:
    """The subnets in its definition."""
    pools = (network.definition.get("ipam") or {}).get("config") or ()
    return tuple(str(pool["subnet"]) for pool in pools if (pool or {}).get("subnet"))


def chosen_bridge(network: Network) -> str:
    """The name of the interface in its definition; '' if the engine gives one."""
    return str((network.definition.get("driver_opts") or {}).get(_BRIDGE) or "")


def held(network: ObservedNetwork) -> Iterator[str]:
    """The subnets that it has."""
    for pool in (network.raw.get("IPAM") or {}).get("Config") or ():
        if pool.get("Subnet"):
            yield str(pool["Subnet"])


def bridge(network: ObservedNetwork) -> str:
    """The name of its interface."""
    return str((network.raw.get("Options") or {}).get(_BRIDGE) or f"br-{network.id[:12]}")


def taken(there: ObservedNetwork, network: Network) -> str | None:
    """What `network` asks for and `there` has, in words for people."""
    for text in chosen(network):
        if any(_overlap(text, other) for other in held(there)):
            return f"range {text}"
    name = chosen_bridge(network)
    return f"bridge {name}" if name == bridge(there) else None


def taker(there: ObservedNetwork, networks: Iterable[Network]) -> tuple[Network, str] | None:
    """The first of `networks` that asks for something that `there` has, and what that is."""
    found = ((network, taken(there, network)) for network in networks if network.name != there.name)
    return next(((network, what) for network, what in found if what), None)


def _overlap(one: str, other: str) -> bool:
    first, second = range_of(one), range_of(other)
    return first is not None and second is not None and overlap(first, second)
