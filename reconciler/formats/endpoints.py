"""The address in `x-reconciler.endpoint`: its parts, and where on this machine it leads."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from reconciler.model.ports import WILDCARDS, Port, bare
from reconciler.values import dataclass

_PORTS = {"http": 80, "https": 443}
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - compared with, never bound
"""Address that a port is published on → the one by which this machine reaches it."""


@dataclass(frozen=True, slots=True)
class Address:
    """`scheme`: http, https or tcp. `host`: without brackets, in small letters. `path`: with the query; '' for tcp."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Host and port; a port that is usual for the scheme is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if _PORTS.get(self.scheme) == self.port else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """The form that a grant names: https://shop.example.org"""
        return f"{self.scheme}://{self.authority}"

    def door(self, published: Iterable[Port]) -> str | None:
        """The IP address to connect to, if the endpoint names one of these published ports; otherwise None.

        A name other than localhost leads wherever its owner wants, so it is never one of our ports.
        """
        reached = {door(port) for port in published if port[1:] == (self.port, "tcp")}
        if self.host == "localhost":
            return next((item for item in ("127.0.0.1", "::1") if item in reached), None)
        return self.host if self.host in reached else None


def door(port: Port) -> str:
    """The IP address by which this machine reaches a published port."""
    address = bare(port[0])
    return _LOOPBACK[address] if address in (*WILDCARDS, "") else address


def parse(text: str) -> Address:
    """`text` has the form that service.schema.json asks for. ValueError if a part of it is wrong; its message says
    which."""
    parts = urlsplit(text)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    if parts.scheme != "tcp" and not path.startswith("/"):
        path = f"/{path}"
    return Address(parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme], path)
