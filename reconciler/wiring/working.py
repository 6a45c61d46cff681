"""The adapters of `once` and `run` that change the machine, and the files that publish their progress."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from reconciler import __version__
from reconciler.act.applier import MachineApplier
from reconciler.act.data_folders import DataFolders
from reconciler.act.trees import TreeStore
from reconciler.decide.redact import Redactor
from reconciler.later import later
from reconciler.log import logger
from reconciler.loop.cycle import Cycle
from reconciler.loop.ledger import Ledger
from reconciler.loop.options import Ports
from reconciler.loop.stall_watchdog import LIMIT, StallWatchdog
from reconciler.model.engine import Engine, joined
from reconciler.model.history import Attempt, History
from reconciler.model.plan import Plan, Step
from reconciler.model.status import Silence
from reconciler.notify import ServiceManager
from reconciler.observe import origin
from reconciler.observe.alarm import AgentAlarm
from reconciler.observe.binary import compose_version
from reconciler.observe.changes import ChangeWatch
from reconciler.observe.host_files import HostFiles
from reconciler.observe.refs import Refs
from reconciler.output import masked
from reconciler.record.lock import StateLock
from reconciler.record.notes import NoteWriter
from reconciler.record.reporter import Reporter
from reconciler.renewal import Continued, start_anew
from reconciler.settings import SAME_REPOSITORY
from reconciler.verbs import files
from reconciler.verbs.agent import AgentVerbs, Progress
from reconciler.verbs.beside import beside
from reconciler.verbs.ending import end_in_time
from reconciler.verbs.every import every
from reconciler.verbs.push_file import PushFile
from reconciler.verbs.status_file import StatusFile
from reconciler.wiring.preload import preload
from reconciler.wiring.reading import STATUS_FILE, TURN_FILE, Reading
from reconciler.wiring.showing import facts
from reconciler.workspace import sweep

if TYPE_CHECKING:
    from reconciler.act.build import ImageBuilder
    from reconciler.act.compose import ComposeCreator
    from reconciler.act.engine import EngineApplier
    from reconciler.act.images import ImagePuller
    from reconciler.report.outbox import Outbox
    from reconciler.verbs.log_keeper import LogKeeper
    from reconciler.verbs.previews import Previews


class Working:
    """One process that holds the state lock. `before`: the state of the process before it restarted itself; `silence`:
    seconds without progress that are reported. `deadline`: the latest end, in seconds of the monotonic clock."""

    def __init__(
        self,
        parts: Reading,
        stop: threading.Event,
        redactor: Redactor,
        silence: float = LIMIT,
        before: Continued | None = None,
    ) -> None:
        self._parts, self._stop, self._redactor = parts, stop, redactor
        self._silence, self._before = silence, before
        self._progress = Progress(parts.clock)
        self._started_at = before.started_at if before else time.time()
        self._changes: ChangeWatch | None = None
        self._alarm: AgentAlarm | None = None
        self._manager = ServiceManager(parts.environ)
        self._forge: Outbox[History] | None = None
        self._outboxes: list[Outbox[Any]] = []
        self._previews = self._make_previews()
        self._publishing = threading.RLock()
        self.deadline = float("inf")

    @cached_property
    def _lock(self) -> StateLock:
        return StateLock(self._parts.state, self._before.lock if self._before else None)

    def run(self) -> int:
        """Take turns until asked to end; returns the exit code."""
        with self.verbs() as verbs:
            while not self._watch(verbs):
                with contextlib.ExitStack() as rest:
                    for outbox in self._outboxes:
                        rest.enter_context(outbox.resting())
                    start_anew(self._parts.settings, self._lock.descriptor, self._started_at, self._stop)
            self._manager.stopping()
        return 143

    def _watch(self, verbs: AgentVerbs) -> bool:
        """Take turns. False: all work is done, and the process may restart itself to free memory."""
        settings = self._parts.settings
        requests = self._parts.state / "requests"
        requests.mkdir(mode=0o700, exist_ok=True)
        watched = [settings.path] if settings.path else []
        with (
            AgentAlarm(
                self._stop,
                settings.source.url,
                watched,
                requests,
                settings.source.branch,
                verbs.expect_work,
                self._manager.pulse,
            ) as alarm,
            ChangeWatch(self._parts.engine, settings.host, alarm.ring, verbs.stacks, verbs.containers) as self._changes,
        ):
            self._alarm = alarm
            self._manager.ready()
            return verbs.run(alarm, settings.source.interval, fresh=self._before is not None)

    def _changed(self) -> bool:
        return self._changes is not None and self._changes.changed()

    def _pushed(self) -> bool:
        return self._alarm is not None and self._alarm.pushed()

    @contextlib.contextmanager
    def verbs(self) -> Iterator[AgentVerbs]:
        """Within this context the state lock is held, and the files for other processes are written."""
        with self._lock:
            self._sweep()
            ledger = Ledger(self._parts.journal, self._parts.clock)
            watchdog = self._watchdog(ledger)
            cycle = self._cycle(ledger, watchdog)
            self._progress.changed = lambda: self._publish(cycle, watchdog)
            self._push_file.publish(self._progress, ())
            with (
                beside(self._progress.changed) as self._progress.stepped,
                self._telling(),
                end_in_time(self._stop, ledger.cut_off),
                every(watchdog.limit / 60, partial(self._look_after, watchdog)),
            ):
                yield AgentVerbs(
                    cycle,
                    self._parts.effects,
                    self._progress,
                    self._parts.clock,
                    partial(preload, self._parts.compose),
                    self._outboxes,
                    self._previews,
                )

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Within this context, reports and notifications are delivered."""
        forge, notifications = self._parts.forge, self._parts.notifications
        self._forge = forge.outbox(self._stop) if forge else None
        others = [notifications.outbox(self._stop)] if notifications else []
        self._outboxes = [*([self._forge] if self._forge else []), *others]
        try:
            yield
        finally:
            if self._outboxes:
                from reconciler.report.outbox import end

                end(self._outboxes, self._stop)

    def _look_after(self, watchdog: StallWatchdog) -> None:
        self._manager.alive()
        watchdog.check()

    def _sweep(self) -> None:
        """Remove what killed processes have left. It is not part of the state, and takes space."""
        for name in ("render", "build"):
            sweep(self._parts.state / name)
        with contextlib.suppress(OSError):
            self._trees.sweep()

    @cached_property
    def _trees(self) -> TreeStore:
        return TreeStore(self._parts.state / "trees", self._parts.effects)

    def _cycle(self, ledger: Ledger, watchdog: StallWatchdog) -> Cycle:
        parts, settings = self._parts, self._parts.settings
        ports = Ports(
            source=parts.source,
            preparer=parts.preparer(parts.state / "render", settings.host, True),
            store=parts.store,
            images=parts.images,
            observer=parts.observer,
            applier=self._applier(watchdog),
            reporter=Reporter(settings.host, self._notes, settings.log_lines, output=parts.tells_output),
            requests=parts.requests,
            clock=parts.clock,
            host_files=HostFiles(parts.host_paths),
            uses=parts.uses,
            changed=self._changed,
            abilities=self._abilities,
        )
        options = replace(
            parts.options,
            planned=self._planned,
            progress=self._step,
            stopping=self._stopping,
            pushed=self._pushed,
            watchdog=watchdog,
            seen=self._manager.pulse,
        )
        return Cycle(ports, options, ledger)

    def _abilities(self, known: Engine | None, worked: bool) -> Engine:
        """The engine's present abilities. `worked`: after work, when Compose and the client's library are loaded anyway
        and an image exists, also look through a container, unless the last look at this engine has answered for all
        paths."""
        from reconciler.observe.abilities import look

        found = joined(look(self._parts.engine), known)
        own, granted = self._parts.folders
        same = known is not None and (known.product, known.version) == (found.product, found.version)
        if not worked or (same and found.compose and {str(path) for path in (*own, *granted)} == found.seen.keys()
                          and None not in found.seen.values()):  # fmt: skip
            return found
        from reconciler.act.visibility import seen

        major, minor = compose_version(self._parts.compose)
        return replace(found, compose=f"{major}.{minor}", seen=seen(self._parts.client, own, granted))

    def _make_previews(self) -> Previews | None:
        """Starts `preview`; None if the agent config does not ask for it, and then its modules are not loaded."""
        settings = self._parts.settings
        if settings.preview != SAME_REPOSITORY:
            return None
        from reconciler.verbs.previews import Previews
        from reconciler.wiring.program import ourselves

        argv = [*ourselves(settings), "preview"]
        environ = {name: value for name, value in self._parts.environ.items() if name != "RECONCILER_CRASH_AT"}
        return Previews(argv, environ, self._parts.clock.monotonic, self._stopping)

    def _planned(self, plan: Plan, attempt: Attempt) -> None:
        self._stop_previews()
        self._progress.planned(plan, attempt)

    def _step(self, step: Step, steps: int, attempt: Attempt) -> None:
        self._stop_previews()
        self._progress.step(step, steps, attempt)

    def _stop_previews(self) -> None:
        if self._previews is not None:
            self._previews.stop()

    def _watchdog(self, ledger: Ledger) -> StallWatchdog:
        def record(silence: Silence) -> None:
            logger.warning("{}", silence.message)
            self._progress.changed()
            ledger.silent(silence)

        return StallWatchdog(self._parts.clock, record, lambda: self._progress.changed(), self._silence)

    def _applier(self, watchdog: StallWatchdog) -> MachineApplier:
        parts = self._parts
        return MachineApplier(
            later(self._engine_applier),
            later(self._creator),
            later(partial(self._puller, watchdog)),
            later(partial(self._builder, watchdog)),
            self._trees,
            parts.secrets,
            DataFolders(parts.state / "data", parts.effects, parts.host_paths),
            lambda container: self._log_keeper.keep(container),
        )

    @cached_property
    def _log_keeper(self) -> LogKeeper:
        from reconciler.wiring.logs import keeper

        return keeper(self._parts, self._redactor)

    def _engine_applier(self) -> EngineApplier:
        from reconciler.act.engine import EngineApplier

        return EngineApplier(self._parts.client, self._parts.effects, self._parts.settings.host)

    def _creator(self) -> ComposeCreator:
        from reconciler.act.compose import ComposeCreator

        parts, made = self._parts, self._engine_applier().has_made
        return ComposeCreator(parts.compose, parts.engine, parts.effects, parts.environ, made)

    def _puller(self, watchdog: StallWatchdog) -> ImagePuller:
        from reconciler.act.images import ImagePuller, PatientClient

        return ImagePuller(PatientClient(self._parts.engine), self._parts.effects, watchdog.heard)

    def _builder(self, watchdog: StallWatchdog) -> ImageBuilder:
        from reconciler.act.build import ImageBuilder

        parts, settings, folder = self._parts, self._parts.settings, self._parts.state / "build"
        return ImageBuilder(
            parts.compose, parts.engine, parts.client, folder, parts.effects, parts.environ, watchdog.heard,
            host=settings.host, secret=parts.secrets.private, bounds=settings.build,
        )  # fmt: skip

    @cached_property
    def _notes(self) -> NoteWriter:
        parts, remote = self._parts, self._parts.source.remote
        return NoteWriter(
            parts.source.git,
            remote.address,
            parts.settings.host,
            push=parts.notes[0],
            effects=parts.effects,
            redactor=self._redactor,
            read=Refs(parts.state / "mirror.git").read,
            peek=partial(origin.peek, remote),
            fetching=origin.reading(remote),
            pushing=partial(origin.writing, remote),
        )

    def _stopping(self) -> bool:
        return self._stop.is_set() or time.monotonic() > self.deadline

    # -- files for other processes -----------------------------------------------------------------------------

    def _publish(self, cycle: Cycle, watchdog: StallWatchdog) -> None:
        """Write the files for other processes: the progress, and the whole Status. One thread at a time."""
        with self._publishing:
            self._write_all(cycle, watchdog)

    def _write_all(self, cycle: Cycle, watchdog: StallWatchdog) -> None:
        self._manager.pulse()
        self._manager.status(self._redactor.clean(self._progress.line))
        if self._forge is not None:
            self._forge.hear(cycle.history)
        self._progress.silence = watchdog.silence
        self._progress.notes_error = self._notes.error
        record = files.progress_record(self._progress, os.getpid(), self._started_at, __version__)
        files.publish(self._parts.state / TURN_FILE, masked(record, self._redactor))
        self._push_file.publish(self._progress, cycle.history.attempts)
        document = self._status_file.publish(lambda: facts(self._parts, record), cycle.looked)
        if self._parts.notifications is not None:
            self._parts.notifications.hear(cycle.history, document)

    @cached_property
    def _push_file(self) -> PushFile:
        parts, settings = self._parts, self._parts.settings
        path, branch = parts.source.remote.path, settings.source.branch
        return PushFile(
            path, settings.host, branch, lambda record: masked(record, self._redactor), output=parts.tells_output
        )

    @cached_property
    def _status_file(self) -> StatusFile:
        return StatusFile(self._parts.state / STATUS_FILE, self._parts.status, self._redactor)
