"""Published ports of a machine: (address, number, protocol). An empty address is every address, IPv4 and IPv6."""

from __future__ import annotations

Port = tuple[str, int, str]

CONTAINER = "container "
"""Beginning of a holder's name, if it is a container."""

WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - compared with, never bound


def bare(address: str) -> str:
    """The address without the brackets of a URL."""
    return address.strip("[]")


def overlaps(one: Port, other: Port) -> bool:
    """Whether the two cannot be used at the same time."""
    if one[1:] != other[1:]:
        return False
    first, second = bare(one[0]), bare(other[0])
    if first == second or not first or not second:
        return True
    same_family = (":" in first) == (":" in second)
    return same_family and (first in WILDCARDS or second in WILDCARDS)
