"""The ordered steps from the observed to the desired state, each with its cause."""

from __future__ import annotations

from enum import StrEnum

from reconciler.model.desired import Condition, ServiceKey
from reconciler.model.documents import STOP_FIRST
from reconciler.model.outcome import Intent, Outcome, Reason, Violation
from reconciler.values import dataclass


class Action(StrEnum):
    PULL = "Pull"
    BUILD = "Build"
    CREATE_NETWORK = "CreateNetwork"
    REPLACE_NETWORK = "ReplaceNetwork"
    CREATE_VOLUME = "CreateVolume"
    CREATE_CONTAINER = "CreateContainer"
    STOP_CONTAINER = "StopContainer"
    START_CONTAINER = "StartContainer"
    RUN_ONCE = "RunOnce"
    WAIT_HEALTHY = "WaitHealthy"
    JOIN_ALIAS = "JoinAlias"
    UPDATE_CONTAINER = "UpdateContainer"
    REMOVE_CONTAINER = "RemoveContainer"
    REMOVE_NETWORK = "RemoveNetwork"


class Change(StrEnum):
    """A detail of a step. LIMITS, RESUME, LEAVE: what an UpdateContainer step changes, if that is neither a name nor a
    restart policy. LOST: a CreateVolume step replaces a volume that had data. APART: a StartContainer or JoinAlias step
    connects the container without its aliases. TRIAL: the step is about a trial container; WaitHealthy then waits for
    `pause` seconds of health."""

    APART = "apart"
    LIMITS = "limits"
    RESUME = "resume"
    LEAVE = "leave"
    LOST = "lost"
    TRIAL = "trial"


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    `container` is the stable name for people; `id` the engine's, None while the container is not created yet. `name` is
    the container's name after this step. `memory_after`: sum of the running containers' memory after the step, in
    bytes. The step after the last switch is a WaitHealthy without stack: the window. `change`: with LEAVE, `name` is
    the network's. `pause`: seconds in which the containers are watched before the step.
    """

    n: int
    action: Action
    stack: str | None
    service: str | None
    container: str | None
    cause: str
    memory_after: int
    id: str | None = None
    name: str | None = None
    condition: Condition | None = None
    change: Change | None = None
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Downtime:
    """A service whose containers are replaced, and the seconds that it is down at most.

    `why`: why it is replaced stop-first although start-first was asked for; `untried`: why it is not tried first
    although the file asks for a trial. Both '' if they do not apply.
    """

    stack: str
    service: str
    at_most: float
    order: str = STOP_FIRST
    why: str = ""
    untried: str = ""


@dataclass(frozen=True, slots=True)
class Default:
    """A value that new containers of `services` get for a key of Compose that their file does not set."""

    key: str
    value: str
    services: tuple[ServiceKey, ...]


@dataclass(frozen=True, slots=True)
class Outlook:
    """The outcome of the next turn. `outcome` None: only the rollout can tell, or the environment is at fault."""

    outcome: Outcome | None = None
    reason: Reason | None = None
    message: str = ""
    hint: str = ""


OPEN = Outlook()


@dataclass(frozen=True, slots=True)
class Plan:
    """`closing`: number of last steps that may run only after the verdict is good and durable."""

    intent: Intent
    revision: str
    base: str | None
    steps: tuple[Step, ...] = ()
    restarts: tuple[ServiceKey, ...] = ()
    downtime: tuple[Downtime, ...] = ()
    peak: int = 0
    bound: int = 0
    closing: int = 0
    violations: tuple[Violation, ...] = ()
    defaults: tuple[Default, ...] = ()

    @property
    def changes(self) -> bool:
        return bool(self.steps)
