"""A container of the machine in memory, and its form for an observer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from reconciler.model.observed import Container, Mount

Port = tuple[str, int, str]
ACTIVE = ("running", "paused", "restarting")


@dataclass
class FakeContainer:
    """`life` counts starts and ends, so that an event of one life does not happen in the next.

    `networks`: name → id of the network it was attached to, which may have been replaced since. `namespaces`: ids of
    containers that must run for this one to start. `leaving`: it was asked to stop, and no policy starts it again.
    """

    id: str
    name: str
    stack: str
    service: str
    number: int
    image: str
    spec: str | None
    host: str | None
    memory: int
    healthcheck: bool
    restart: str = "no"
    networks: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, frozenset[str]] = field(default_factory=dict)
    network_mode: str = ""
    mounts: tuple[Mount, ...] = ()
    ports: tuple[Port, ...] = ()
    shares: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    trees: tuple[str, ...] = ()
    state: str = "created"
    health: str = "none"
    exit_code: int = 0
    oom_killed: bool = False
    restart_count: int = 0
    started_at: str = ""
    starts: int = 0
    life: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    folder: str = ""
    unhealthy_since: float | None = None
    grace: float | None = None
    leaving: bool = False

    @property
    def active(self) -> bool:
        return self.state in ACTIVE

    def sparse(self) -> Container:
        return Container(
            id=self.id,
            name=self.name,
            stack=self.stack,
            service=self.service,
            number=self.number,
            state=self.state,
            health=self.health if self.state == "running" else "none",
            image=self.image,
            spec=self.spec,
            host=self.host,
            networks=frozenset(self.networks),
            network_ids=dict(self.networks),
            network_mode=self.network_mode,
            mounts=self.mounts,
            shares=frozenset(
                [self.network_mode.removeprefix("container:")] if "container:" in self.network_mode else []
            ),
            ports=self.ports if self.state == "running" else (),
        )

    def _endpoints(self) -> dict[str, Any]:
        return {
            name: {
                "aliases": self.aliases.get(name, frozenset()),
                "ipv4": self.addresses.get(name, ""),
                "ipv6": "",
                "mac": None,
            }
            for name in self.networks
        }

    def full(self) -> Container:
        sparse = self.sparse()
        known = {name: getattr(sparse, name) for name in sparse.__dataclass_fields__}
        return Container(
            **known
            | {
                "started_at": self.started_at,
                "exit_code": self.exit_code,
                "oom_killed": self.oom_killed,
                "restart": self.restart,
                "memory": self.memory,
                "shares": self.shares,
                "ports": self.ports,
                "detailed": True,
                "folder": self.folder,
                "grace": self.grace,
                "facts": self.facts | {"networks": self._endpoints()},
            }
        )
