"""How things stand: what is known when somebody asks, and the answer. Times are seconds of the Unix epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from reconciler.model.desired import DesiredState
from reconciler.model.history import History
from reconciler.model.observed import ObservedState
from reconciler.model.outcome import Intent, Reason, Violation
from reconciler.model.plan import Action
from reconciler.model.requests import Suspension


class Sync(StrEnum):
    """Does the machine hold what the branch's head asks for? (Argo CD's axis and words.)"""

    SYNCED = "Synced"
    OUT_OF_SYNC = "OutOfSync"
    UNKNOWN = "Unknown"


class Health(StrEnum):
    """Does it work? (Argo CD's axis and words.)"""

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
    """The watched branch. `url` has no credentials; `head` is the newest commit that was fetched."""

    url: str
    branch: str
    head: str | None = None
    last_fetch_at: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Holding:
    """Nothing is done, for this reason. `hint` says what a person can do; `since`: when it began; `until`: when it is
    tried again."""

    reason: Reason
    message: str
    hint: str = ""
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Silence:
    """`step` has made no progress for minutes (`blocked`), or turn after turn ends in the same trouble."""

    step: str
    reason: Reason
    message: str
    since: float
    blocked: bool


@dataclass(frozen=True, slots=True)
class Rollout:
    """What the agent is doing just now: step `step` of `steps`."""

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
    """A way on which outcomes are told. `pending`: outcomes that are still to be told on it; `error`: why not."""

    name: str
    pending: int
    last_delivered_at: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class StatusFacts:
    """All that `decide.status.judge` looks at.

    `desired`: what the machine is meant to hold now: the target of an open rollout, else the last good state.
    None: nothing was ever admitted, or it cannot be read. `observed` None: the engine was not asked, or does
    not answer (`engine_error` then says why). `usage`: container id → bytes in use, where measured.
    `trust`: what the operator says of those who push.
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
    """One service. `limit` and `usage`: bytes, summed over its containers, which `running` counts."""

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


@dataclass(frozen=True, slots=True)
class StackStatus:
    name: str
    sync: Sync
    health: Health
    services: tuple[ServiceStatus, ...]


@dataclass(frozen=True, slots=True)
class MemoryStatus:
    """Bytes; None: not known. `committed`: limits of our containers that run; `foreign`: of the others.

    `measured`: whether the engine says how much memory any of our containers uses; None where none runs.
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
    """The answer to "how do things stand?". `leftovers`: volumes of services that are no longer wanted.

    `leftover_networks`: networks of ours that no service wants, kept because a container of somebody else is in them.
    `warnings`: those of the head, and what was lost since last good was proven.
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
