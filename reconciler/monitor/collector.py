"""The thread that makes snapshots. It looks at files of the state folder every second, at the engine after each event,
and measures memory and processors every 15 seconds (the monitor) or more often (the dashboard)."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from reconciler.errors import ReconcilerError, Transient
from reconciler.log import logger
from reconciler.model.alerts import Alert
from reconciler.model.endpoints import Check, Watched
from reconciler.model.history import History
from reconciler.model.measures import Machine, Measures, Usage
from reconciler.model.observed import OOM, Container, ObservedState
from reconciler.monitor.samples import EVERY, Samples
from reconciler.monitor.snapshot import Board, Json, Snapshot
from reconciler.values import dataclass

LOOK = 1.0
"""Seconds between two looks at the files of the state folder."""

ANYWAY = 60.0
"""Seconds after which the engine is asked again, even without an event."""

SHOWN = 50
"""Largest number of attempts in a snapshot."""


class Watch(Protocol):
    """The engine's events; see `observe.events.EventWatch`."""

    def __enter__(self) -> Watch: ...

    def __exit__(self, *_: object) -> None: ...

    def wait(self, timeout: float) -> bool: ...

    def touched(self) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True)
class Sources:
    """Functions that read the host; each may raise ReconcilerError. `interval`: of the agent, in seconds.

    - `status`: the Status document and the inspected managed containers, from the last observation.
    - `watched`: the endpoints that must answer, as of the last `status`.
    - `forget`: makes the next `status` ask the engine.
    - `history`: the History document, newest attempt first, and the History that it is made from. Argument: the largest
      number of attempts.
    - `look`: the containers, from one cheap list.
    - `usage`: container's id → memory and processor time, for the given ids.
    - `errors`: how often the engine has not answered.
    - `heard`: makes a watch that calls back with a container's id and the event.
    - `journal`, `turn`: files whose change causes a look. `turn` changes with each turn: it is the agent's heartbeat.
    """

    host: str
    interval: float
    status: Callable[[], tuple[Json, Sequence[Container]]]
    watched: Callable[[], tuple[Watched, ...]]
    forget: Callable[[], None]
    history: Callable[[int], tuple[Json, History]]
    look: Callable[[], Sequence[Container]]
    usage: Callable[[Iterable[str]], Mapping[str, Usage]]
    errors: Callable[[], int]
    machine: Callable[[], Machine]
    heard: Callable[[Callable[[str, str], None]], Watch]
    journal: Path
    turn: Path


class Collector:
    """`board` gets each snapshot, `samples` each measurement. `alerts`: returns the alerts of a snapshot. `after`:
    called with each snapshot. `checks`: returns the last answers of endpoints. `every`: seconds between two
    measurements.
    """

    def __init__(
        self,
        sources: Sources,
        board: Board,
        samples: Samples,
        alerts: Callable[[Snapshot], tuple[Alert, ...]] = lambda snapshot: (),
        after: Callable[[Snapshot], None] = lambda snapshot: None,
        checks: Callable[[], tuple[Check, ...]] = tuple,
        clock: Callable[[], float] = time.time,
        every: float = EVERY,
    ) -> None:
        self._every = every
        self._sources, self._board, self._samples, self._after, self._clock = sources, board, samples, after, clock
        self._alerts, self._checks = alerts, checks
        self._looked: Sequence[Container] = ()
        self._usage: Mapping[str, Usage] = {}
        self._answered = False
        self._before: tuple[float, Mapping[str, Usage]] = (0.0, {})
        self._oom: Counter[str] = Counter()
        self._journal: object = None
        self._turn: object = None
        self._whole_at = self._sampled_at = float("-inf")

    def run(self, stop: threading.Event) -> None:
        """Look until `stop` is set. An unexpected exception ends only one look."""
        with ExitStack() as watching:
            watch: Watch | None = None
            whole = True
            while not stop.is_set():
                begun = time.monotonic()
                try:
                    watch = watch or watching.enter_context(self._sources.heard(self._hear))
                except Transient as error:
                    logger.debug("monitor: {}", error.message)
                try:
                    self.turn(not whole or bool(watch and watch.touched()))
                except Exception as error:
                    with suppress(Exception):  # loguru cannot be imported while no file can be opened
                        logger.opt(exception=error).error("monitor: {}", error)
                # So that looking takes at most a fifth of the time, also if a container causes events all the time.
                stop.wait(min(LOOK, 4 * (time.monotonic() - begun)))
                pause = min(LOOK, max(0.0, self._sampled_at + self._every - time.monotonic()))
                if watch is None:
                    stop.wait(pause)
                else:
                    whole = watch.wait(pause)

    def turn(self, told: bool = False) -> None:
        """One look, which makes a snapshot if anything may have changed. `told`: the engine has sent an event."""
        now, moment = self._clock(), time.monotonic()
        journal, turn = _stamp(self._sources.journal), _stamp(self._sources.turn)
        sample = moment - self._sampled_at >= self._every
        whole = told or journal != self._journal or moment - self._whole_at >= ANYWAY
        if not (whole or sample or turn != self._turn):
            return
        self._sampled_at = moment if sample else self._sampled_at
        machine = self._sources.machine()  # called once: it returns the processors' use since the last call
        if sample:
            whole = self._sample(now, machine) or whole
        if whole:
            self._whole_at = moment
            self._sources.forget()
        self._journal, self._turn = journal, turn
        snapshot = self._snapshot(now, machine)
        snapshot = replace(snapshot, alerts=self._alerts(snapshot))
        self._board.post(snapshot)
        self._after(snapshot)

    def _hear(self, container: str, event: str) -> None:
        if event == OOM:
            self._oom[container] += 1

    def _sample(self, now: float, machine: Machine) -> bool:
        """Measure the containers. Returns whether the engine's list of containers has changed."""
        before, self._usage, self._answered = self._looked, {}, False
        try:
            self._looked = tuple(self._sources.look())
            self._usage = self._sources.usage([item.id for item in self._looked if item.state == "running"])
            self._answered = True
        except ReconcilerError as error:
            logger.debug("monitor: {}", error.message)
        free = {f"free {disk.mount}": float(disk.free) for disk in machine.disks}
        self._samples.add(now, free | self._values(now))
        return self._looked != before

    def _values(self, now: float) -> dict[str, float]:
        """Series → value: `memory STACK/SERVICE` in bytes, `cpu STACK/SERVICE` in cores since the last measurement."""
        before_at, before = self._before
        self._before = now, self._usage
        names = {item.id: f"{item.stack}/{item.service}" for item in self._looked}
        found: dict[str, float] = {}
        for id, usage in self._usage.items():
            name, passed = names.get(id, ""), now - before_at
            found[f"memory {name}"] = found.get(f"memory {name}", 0.0) + usage.memory
            if id in before and 0 < passed < 4 * self._every:
                share = max(0.0, usage.cpu - before[id].cpu) / passed
                found[f"cpu {name}"] = found.get(f"cpu {name}", 0.0) + share
        return found

    def _snapshot(self, now: float, machine: Machine) -> Snapshot:
        sources = self._sources
        made = Snapshot(now, sources.host, sources.interval, heartbeat=_changed_at(sources.turn))
        failed = sources.errors()
        try:
            status, containers = sources.status()
            history, past = sources.history(SHOWN)
        except ReconcilerError as error:
            told = f"{error.message}. {error.hint}"
            measures = Measures(now, machine, answered=False)
            return replace(made, error=told, measures=measures, engine_errors=sources.errors())
        there, watched = {item.id for item in containers}, sources.watched()
        answered = self._answered and sources.errors() == failed
        if answered:
            self._oom = Counter({id: count for id, count in self._oom.items() if id in there})
        measures = Measures(now, machine, tuple(containers), self._usage, dict(self._oom), answered)
        return replace(
            made, status=status, history=history, past=past, measures=measures, engine_errors=sources.errors(),
            watched=watched, endpoints=tuple(item for item in self._checks() if answered and item.watched in watched),
        )  # fmt: skip


class Recent:
    """An observer that keeps answers, so that not every call asks the engine: `inspect` returns the same until
    `forget`, `usage` returns the last measurement. `errors`: number of calls that the engine did not answer."""

    def __init__(self, observer: Any) -> None:
        self._observer = observer
        self._observed: ObservedState | None = None
        self.measured: Mapping[str, Usage] = {}
        self.errors = 0

    def forget(self) -> None:
        self._observed = None

    def inspect(self, stacks: Iterable[str]) -> ObservedState:
        if self._observed is None:
            try:
                self._observed = self._observer.inspect(stacks)
            except Transient:
                self.errors += 1
                raise
        return self._observed

    def look(self, stacks: Iterable[str]) -> ObservedState:
        try:
            found: ObservedState = self._observer.look(stacks)
        except Transient:
            self.errors += 1
            raise
        return found

    def usage(self, ids: Iterable[str]) -> Mapping[str, int]:
        return {id: self.measured[id].memory for id in ids if id in self.measured}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._observer, name)


def _stamp(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _changed_at(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None
