"""The desired-state document as values. Durations in seconds, sizes in bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from reconciler.model.alerts import AlertRule
from reconciler.values import dataclass

GIB = 1 << 30
MIB = 1 << 20

STOP_FIRST, START_FIRST = "stop-first", "start-first"
"""The orders in which a container is replaced, in Compose's words."""

LONGEST_STOP = 600.0
"""Longest stop_grace_period in seconds, if the operator sets none. Our choice: databases need minutes."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Limits of the health gate. Names and defaults are Nomad's; `unhealthy_grace` is ours."""

    min_healthy_time: float = 10.0
    healthy_deadline: float = 300.0
    progress_deadline: float = 600.0
    unhealthy_grace: float = 30.0


DEFAULT_GATE = Gate()


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of the machine for containers. `steady` is a fraction of `budget` (0.8 = 80 %)."""

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
    """One Compose project in the Host document. Paths are relative to the repository's root."""

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
class LogBounds:
    """What is kept of the logs of removed containers. `keep`: logs of a service. `size`: bytes of a log, compressed."""

    keep: int = 10
    size: int = 10 * MIB


@dataclass(frozen=True, slots=True)
class HostDocument:
    """The whole desired state of one machine. `path` is None if a plain Compose file implies it.

    `default_order`: order of services whose file names none. `alerts`: bounds of alerts that it changes. `logs`: of
    removed containers. `agent_version`: the version of this program that it asks for, '' if any will do.
    """

    name: str
    stacks: tuple[StackDocument, ...]
    memory: Memory = Memory()
    default_memory: int = 512 * MIB
    path: str | None = None
    default_order: str = STOP_FIRST
    alerts: Mapping[str, AlertRule] = field(default_factory=dict)
    logs: LogBounds = LogBounds()
    agent_version: str = ""


@dataclass(frozen=True, slots=True)
class Pin:
    """What a service must be, word by word, for an entry that is equal to root.

    `entrypoint` and `command` None: the image's own. `rest`: a digest of everything else that decides what the service
    does (environment, health check, mounts, …); '' if it sets none of these.
    """

    image: str
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    rest: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """The operator lifts one denial, on the host, for a stated reason. '*' matches every stack or service.

    `values`: the allowed values of the rule, as the operator wrote them; empty for rules without values. `bundle`: the
    bundle that it comes from.
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

    '*' matches every stack or service. `read_only`: a mount that could write is denied.
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
    """Everything that the operator allows commits.

    `owner`: only the operator can push (trust: owner). `signed`: no commit is applied without a signature by the
    operator. `own`: the agent's own files and folders on this machine, absolute. `longest_stop`: seconds that a
    container may take to stop. `address_pool`: ranges (CIDR) in which commits may choose subnets.
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
        """Stack and service ('*': all) of the entries with a pin."""
        return tuple((entry.stack, entry.service) for entry in self.grants + self.binds if entry.pin is not None)


NOTHING_ALLOWED = Permissions()
"""Used if there is no agent config, or it allows nothing."""
