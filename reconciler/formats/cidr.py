"""Ranges of addresses as texts: 10.77.0.0/24, fd00::/64, or one address. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

Range = ipaddress.IPv4Network | ipaddress.IPv6Network


def range_of(text: str) -> Range | None:
    """The range; None if the text is none. An IPv4 range that is written as IPv6 (::ffff:10.0.0.0/120) is the IPv4
    one."""
    try:
        found = ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        return None
    mapped = found.network_address.ipv4_mapped if isinstance(found, ipaddress.IPv6Network) else None
    if mapped is None or found.prefixlen < 96:
        return found
    return ipaddress.ip_network((mapped, found.prefixlen - 96), strict=False)


def plain_address(text: str) -> str:
    """The address of a container, IP or MAC, in the spelling of the engine; any other text in lower case."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        digits = re.sub("[:.-]", "", text.lower())
        return ":".join(re.findall("..", digits)) if re.fullmatch("[0-9a-f]{12}", digits) else text.lower()


def overlap(one: Range, other: Range) -> bool:
    return one.version == other.version and one.overlaps(other)


def lies_in(text: str, ranges: Iterable[str]) -> bool:
    """Whether the whole range lies in one of `ranges`."""
    inner = range_of(text)
    if inner is None:
        return False
    outer = [found for found in map(range_of, ranges) if found is not None]
    return any(overlap(inner, item) and item.prefixlen <= inner.prefixlen for item in outer)
