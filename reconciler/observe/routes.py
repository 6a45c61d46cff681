"""Addresses in use: routes of every table, the machine's own addresses, gateways and resolvers, and hosts that the
agent must reach."""

from __future__ import annotations

import ipaddress
import socket
import struct
import threading
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from reconciler.log import logger
from reconciler.model.addresses import Claim

RESOLVERS = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
"""The second file has the real resolvers if the first names systemd's own."""

PATIENCE = 2.0
"""Seconds to wait for the name service."""

WIDEST = {4: 8, 6: 7}
"""A route with a shorter prefix counts as a route to everything, because VPNs split the default route in two."""

_GETROUTE, _DUMP, _DONE, _ERROR = 26, 0x301, 3, 2
_DST, _OIF, _GATEWAY = 1, 4, 5
_UNICAST, _LOCAL, _BROADCAST, _ANYCAST, _MULTICAST = range(1, 6)
_ADDRESSES = {socket.AF_INET: 4, socket.AF_INET6: 16}
_LINK_LOCAL = ipaddress.ip_network("fe80::/10")


def of_this_machine(interfaces: Collection[str]) -> list[Claim]:
    """Routes, addresses, gateways and resolvers. `interfaces`: their routes do not count."""
    return [*_routes(interfaces), *_resolvers()]


def host_of(address: str) -> str:
    """The host of a URL or of `user@host:path`; '' if there is none."""
    if "://" in address:
        try:
            return urlsplit(address).hostname or ""
        except ValueError:
            return ""
    before, colon, _ = address.partition(":")
    return before.rpartition("@")[2] if colon and "/" not in before else ""


def of_hosts(names: Iterable[str]) -> list[Claim]:
    """Addresses of hosts (names or addresses). A host that cannot be resolved in time is left out."""
    return [Claim(address, f"{name} ({address})") for name in dict.fromkeys(names) for address in _resolved(name)]


def _routes(interfaces: Collection[str]) -> Iterator[Claim]:
    for kind, destination, interface, gateway in _dump():
        if interface in interfaces or kind in (_BROADCAST, _ANYCAST, _MULTICAST):
            continue
        if gateway:
            yield Claim(gateway, f"the gateway {gateway}")
        found = ipaddress.ip_network(destination)
        if found.prefixlen < WIDEST[found.version] or found.overlaps(_LINK_LOCAL):
            continue
        word = "this machine's own address" if kind == _LOCAL else "the route to"
        yield Claim(destination, f"{word} {destination}" + (f" ({interface})" if interface else ""))


def _dump() -> Iterator[tuple[int, str, str, str]]:
    """(type, destination, interface, gateway) of every route in every table (rtnetlink(7))."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as asked:
        asked.settimeout(PATIENCE)
        asked.send(struct.pack("=IHHII12x", 28, _GETROUTE, _DUMP, 1, 0))
        while True:
            data, at = asked.recv(1 << 18), 0
            while at < len(data):
                length, kind = struct.unpack_from("=IH", data, at)
                if kind in (_DONE, _ERROR) or length < 16:
                    return
                yield from _route(data[at + 16 : at + length])
                at += -(-length // 4) * 4


def _route(message: bytes) -> Iterator[tuple[int, str, str, str]]:
    family, prefix, *_, kind, _flags = struct.unpack_from("=BBBBBBBBI", message)
    if family not in _ADDRESSES:
        return
    values, at = {}, 12
    while at + 4 <= len(message):
        length, name = struct.unpack_from("=HH", message, at)
        if length < 4:
            break
        values[name] = message[at + 4 : at + length]
        at += -(-length // 4) * 4
    destination = socket.inet_ntop(family, values.get(_DST) or bytes(_ADDRESSES[family]))
    gateway = socket.inet_ntop(family, values[_GATEWAY]) if _GATEWAY in values else ""
    yield kind, f"{destination}/{prefix}", _name_of(values.get(_OIF, b"")), gateway


def _name_of(index: bytes) -> str:
    try:
        return socket.if_indextoname(struct.unpack("=I", index)[0])
    except (OSError, struct.error):
        return ""


def _resolvers() -> Iterator[Claim]:
    for path in RESOLVERS:
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if words[:1] == ["nameserver"] and len(words) > 1:
                address = words[1].partition("%")[0]
                yield Claim(address, f"the resolver {address} of {path}")


def _resolved(name: str) -> list[str]:
    found: list[str] = []

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            logger.debug("{} cannot be resolved: {}", name, error)
            return
        found.extend(dict.fromkeys(str(answer[4][0]).partition("%")[0] for answer in answers))

    # The library's call has no deadline.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return list(found)
