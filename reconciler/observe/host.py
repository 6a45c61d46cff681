"""Finds the holders of ports on this machine, as far as that is possible from here."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Mapping

from reconciler.model.ports import Port, bare, overlaps

EVERYWHERE = {"0.0.0.0": socket.AF_INET, "::": socket.AF_INET6}  # noqa: S104


def holders(ports: Iterable[Port], held: Mapping[Port, str]) -> dict[Port, str]:
    """The `ports` that overlap with one of `held` (port → holder's name)."""
    found = {}
    for port in ports:
        name = next((held[other] for other in sorted(held) if overlaps(port, other)), None)
        if name is not None:
            found[port] = name
    return found


def is_bound(port: Port) -> bool:
    """Whether a process of this machine holds the port. False, too, if that cannot be tried."""
    return any(_refuses(family, address, port) for family, address in _places(bare(port[0])))


def _places(address: str) -> list[tuple[socket.AddressFamily, str]]:
    if not address:
        return [(family, wildcard) for wildcard, family in EVERYWHERE.items()]
    return [(socket.AF_INET6 if ":" in address else socket.AF_INET, address)]


def _refuses(family: socket.AddressFamily, address: str, port: Port) -> bool:
    kinds = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
    if port[2] not in kinds:
        return False
    try:
        with socket.socket(family, kinds[port[2]]) as probe:
            _bind_as_the_engine_does(probe, family, address, port[1])
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


def _bind_as_the_engine_does(probe: socket.socket, family: int, address: str, number: int) -> None:
    stream = probe.type == socket.SOCK_STREAM
    if stream:
        # Without this option, old connections of a stopped container (TIME_WAIT) would make the port look bound.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    probe.bind((address, number))
    if stream:
        probe.listen(1)
