"""The ports of a turn, and the options of this agent."""

from __future__ import annotations

from collections.abc import Callable

from reconciler.loop.ports import (
    Applier,
    Clock,
    HostFiles,
    Images,
    Observer,
    Reporter,
    Requests,
    Source,
    Store,
    UseRecord,
)
from reconciler.loop.prepare import Preparer
from reconciler.loop.stall_watchdog import StallWatchdog
from reconciler.model.documents import LONGEST_STOP
from reconciler.model.engine import Engine
from reconciler.model.history import Attempt
from reconciler.model.plan import Plan, Step
from reconciler.values import dataclass


@dataclass(frozen=True, slots=True)
class Ports:
    """All ports of a turn. `changed`: whether the engine reported events of our containers since the last call.

    `abilities`: the engine as it is now, from the last record of it, and whether this turn has worked with it; None:
    nobody asks. Away if it does not answer.
    """

    source: Source
    preparer: Preparer
    store: Store
    images: Images
    observer: Observer
    applier: Applier
    reporter: Reporter
    requests: Requests
    clock: Clock
    host_files: HostFiles
    uses: UseRecord
    changed: Callable[[], bool] = lambda: False
    abilities: Callable[[Engine | None, bool], Engine] | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """Behaviour of this agent. `interval`: seconds between two looks at the branch, during a rollout too.

    `host`: the host whose labels are ours. `planned`: called with each plan before it is carried out. `progress`:
    called at each step (step, number of steps, attempt). `stopping`: called between steps and while waiting; True ends
    the turn as Interrupted. `pushed`: whether a newer commit was announced since the last call; then the next look
    comes sooner. `watchdog` gets all progress. `seen` is called by every wait: the acting thread is alive. `adopt`:
    Compose projects that commits may take over without asking. `longest_stop`: seconds that any container may take to
    stop, whatever it asks for. `hosts`: names that the agent must reach. `build_memory`: bytes that a build may use; 0
    if not set. `advisory`: commits are tried also where nothing enforces memory limits.
    """

    host: str
    interval: float = 30.0
    require_fast_forward: bool = True
    planned: Callable[[Plan, Attempt], None] = lambda plan, attempt: None
    progress: Callable[[Step, int, Attempt], None] = lambda step, steps, attempt: None
    stopping: Callable[[], bool] = lambda: False
    pushed: Callable[[], bool] = lambda: False
    watchdog: StallWatchdog | None = None
    seen: Callable[[], None] = lambda: None
    adopt: tuple[str, ...] = ()
    longest_stop: float = LONGEST_STOP
    hosts: tuple[str, ...] = ()
    build_memory: int = 0
    advisory: bool = False
