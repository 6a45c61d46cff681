"""What the desired-state document says, once it has been read. Durations in seconds, sizes in bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

GIB = 1 << 30
MIB = 1 << 20

LONGEST_STOP = 600.0
"""Seconds that a container may ask for to stop in, where the operator says nothing. Ours: databases ask for minutes."""


@dataclass(frozen=True, slots=True)
class Gate:
    """How long a service has to prove itself. Names and defaults are Nomad's; `unhealthy_grace` is ours."""

    min_healthy_time: float = 10.0
    healthy_deadline: float = 300.0
    progress_deadline: float = 600.0
    unhealthy_grace: float = 30.0


DEFAULT_GATE = Gate()


@dataclass(frozen=True, slots=True)
class Memory:
    """The machine's share for containers. `steady` is a fraction of `budget` (0.8 = 80 %)."""

    budget: int = 14 * GIB
    steady: float = 0.8
    reserve: int = 512 * MIB


@dataclass(frozen=True, slots=True)
class Exports:
    """What other stacks of the host may use: keys below `networks:` and `volumes:` of the stack that owns them."""

    networks: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()


NO_EXPORTS = Exports()


@dataclass(frozen=True, slots=True)
class StackDocument:
    """One Compose project as the Host document names it. Paths are relative to the repository's root."""

    name: str
    files: tuple[str, ...]
    profiles: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    depends_on: tuple[str, ...] = ()
    suspended: bool = False
    gate: Gate = DEFAULT_GATE
    line: int | None = None
    exports: Exports = NO_EXPORTS


@dataclass(frozen=True, slots=True)
class HostDocument:
    """The whole desired state of one machine. `path` is None where a plain Compose file implies it."""

    name: str
    stacks: tuple[StackDocument, ...]
    memory: Memory = Memory()
    default_memory: int = 512 * MIB
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Pin:
    """What a service has to be, word by word, to be given what is equal to root.

    `entrypoint` and `command` None: the image's own. `rest`: a digest of what else decides what the service does
    (environment, health check, mounts, …); '' where it says nothing of these.
    """

    image: str
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    rest: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """The operator lifts one denial, on the host, for a stated reason. '*' matches every stack or service.

    `values`: what is allowed of that which the rule denies, as the operator wrote it; empty for rules without values.
    `bundle`: the name of the bundle that it comes from.
    """

    policy: str
    stack: str
    service: str
    reason: str
    values: tuple[str, ...] = ()
    pin: Pin | None = None
    bundle: str = ""


@dataclass(frozen=True, slots=True)
class BindGrant:
    """The operator lets commits mount this host path and what lies below. `host` is the path on the machine, absolute.

    '*' matches every stack or service. `read_only`: a mount that could write is refused.
    """

    path: str
    host: str
    reason: str
    stack: str = "*"
    service: str = "*"
    read_only: bool = True
    pin: Pin | None = None
    bundle: str = ""


@dataclass(frozen=True, slots=True)
class Permissions:
    """All that the operator allows commits.

    `owner`: whoever pushes is the operator (trust: owner). `signed`: no commit is applied without a signature of his.
    `own`: the agent's own files and folders on this machine, absolute. `longest_stop`: seconds that a container may
    have to stop in. `address_pool`: ranges (CIDR) in which commits may choose subnets.
    """

    grants: tuple[Grant, ...] = ()
    binds: tuple[BindGrant, ...] = ()
    owner: bool = False
    signed: bool = False
    own: tuple[str, ...] = ()
    longest_stop: float = LONGEST_STOP
    address_pool: tuple[str, ...] = ()

    @property
    def pinned(self) -> tuple[tuple[str, str], ...]:
        """Stack and service ('*': each) of the entries that say word by word who has them."""
        return tuple((entry.stack, entry.service) for entry in self.grants + self.binds if entry.pin is not None)


NOTHING_ALLOWED = Permissions()
"""Where there is no agent config, or it says nothing."""
