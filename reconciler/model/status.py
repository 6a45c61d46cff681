"""The input of the status, and the status itself. Times are seconds of the Unix epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from reconciler.model.desired import DesiredState
from reconciler.model.engine import Engine
from reconciler.model.history import History
from reconciler.model.observed import ObservedState
from reconciler.model.outcome import Intent, Reason, Violation
from reconciler.model.plan import Action
from reconciler.model.requests import Suspension
from reconciler.values import dataclass


class Sync(StrEnum):
    """Whether the machine holds what the branch's head asks for. (Argo CD's axis and words.)"""

    SYNCED = "Synced"
    OUT_OF_SYNC = "OutOfSync"
    UNKNOWN = "Unknown"


class Health(StrEnum):
    """Whether it works. (Argo CD's axis and words.)"""

    HEALTHY = "Healthy"
    SUSPENDED = "Suspended"
    PROGRESSING = "Progressing"
    MISSING = "Missing"
    DEGRADED = "Degraded"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Agent:
    """The process that holds the state folder, if there is one."""

    running: bool
    pid: int | None = None
    version: str | None = None
    started_at: float | None = None


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """The watched branch. `url` has no credentials; `head` is the newest fetched commit."""

    url: str
    branch: str
    head: str | None = None
    last_fetch_at: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Holding:
    """Nothing is done, for this reason. `hint`: what a person can do; `since`: when it began; `until`: when it is tried
    again."""

    reason: Reason
    message: str
    hint: str = ""
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Silence:
    """`step` has made no progress for minutes (`blocked`), or several turns ended with the same fault."""

    step: str
    reason: Reason
    message: str
    since: float
    blocked: bool


@dataclass(frozen=True, slots=True)
class Rollout:
    """The rollout at this moment: step `step` of `steps`."""

    attempt: str
    revision: str
    intent: Intent
    step: int
    steps: int
    action: Action | None
    stack: str | None
    service: str | None
    since: float


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel of reports. `pending`: number of outcomes that are not delivered yet; `error`: why not."""

    name: str
    pending: int
    last_delivered_at: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class StatusFacts:
    """The input of `decide.status.judge`.

    `desired`: what the machine should hold now: the target of an open rollout, else the last good state. None: nothing
    was ever admitted, or it cannot be read. `observed` None: the engine was not asked, or does not answer (then
    `engine_error` says why). `usage`: container id → bytes in use, if measured. `trust`: as in the agent config.
    """

    host: str
    agent: Agent
    source: SourceFacts
    history: History
    desired: DesiredState | None = None
    observed: ObservedState | None = None
    engine_error: str | None = None
    holding: Holding | None = None
    rollout: Rollout | None = None
    silence: Silence | None = None
    usage: Mapping[str, int] = field(default_factory=dict)
    suspension: Suspension | None = None
    trust: str = "strangers"
    channels: tuple[Channel, ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One service. `limit` and `usage`: bytes, summed over its containers; `running`: their number. `ports`: (address,
    port, protocol) that its running containers hold on the host; None: not known."""

    stack: str
    service: str
    sync: Sync
    health: Health
    reason: Reason | None
    desired: int
    running: int | None
    order: str | None
    limit: int | None
    usage: int | None
    image: str | None
    containers: tuple[str, ...] | None
    since: float | None
    ports: tuple[tuple[str, int, str], ...] | None = None


@dataclass(frozen=True, slots=True)
class StackStatus:
    name: str
    sync: Sync
    health: Health
    services: tuple[ServiceStatus, ...]


@dataclass(frozen=True, slots=True)
class MemoryStatus:
    """Bytes; None: not known. `committed`: our running containers; `foreign`: foreign ones.

    `measured`: whether the engine reports the memory use of our containers; None if none runs.
    """

    budget: int | None = None
    engine: int | None = None
    reserve: int | None = None
    committed: int | None = None
    foreign: int | None = None
    steady: int | None = None
    steady_limit: int | None = None
    measured: bool | None = None


@dataclass(frozen=True, slots=True)
class HostStatus:
    """The present state of the host. `leftovers`: volumes of services that are no longer desired.

    `leftover_networks`: networks of ours that no service uses, kept because a foreign container is in them. `warnings`:
    those of the head, and of what was lost since last good was proven. `engine`: as it answers now, else as recorded
    last.
    """

    sync: Sync
    health: Health
    reason: Reason | None
    message: str
    since: float | None
    stalled: bool
    last_attempted: str | None
    last_applied: str | None
    last_good: str | None
    memory: MemoryStatus
    stacks: tuple[StackStatus, ...]
    leftovers: tuple[str, ...] | None
    leftover_networks: tuple[str, ...] | None
    warnings: tuple[Violation, ...] = ()
    engine: Engine | None = None
