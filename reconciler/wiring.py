"""The composition root: the only module that names concrete adapters."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from loguru import logger

from reconciler import __version__
from reconciler.act.applier import MachineApplier
from reconciler.act.data_folders import DataFolders
from reconciler.act.trees import TreeStore
from reconciler.decide.redact import Redactor
from reconciler.decide.sources import Places
from reconciler.effects import Effects
from reconciler.engine import connect
from reconciler.errors import Interrupted, Locked, ReconcilerError, Transient, Usage
from reconciler.later import later
from reconciler.loop.bench import Options, Ports
from reconciler.loop.book import Book
from reconciler.loop.cycle import Cycle
from reconciler.loop.prepare import Preparer, Rules
from reconciler.loop.silence import LIMIT, Listener
from reconciler.model.files import Files
from reconciler.model.outcome import Reason
from reconciler.model.requests import RequestVerb
from reconciler.model.status import Agent, Silence, SourceFacts, StatusFacts
from reconciler.observe.alarm import AgentAlarm
from reconciler.observe.binary import find_compose
from reconciler.observe.changes import ChangeWatch
from reconciler.observe.endpoint import engine_host
from reconciler.observe.glance import Glance
from reconciler.observe.host_files import HostFiles
from reconciler.observe.remote import credentials
from reconciler.observe.render import ComposeRenderer
from reconciler.observe.secrets import SecretStore
from reconciler.observe.signatures import Signers
from reconciler.observe.source import GitSource, files_at
from reconciler.output import masked
from reconciler.record import summary
from reconciler.record.journal import Journal
from reconciler.record.lock import StateLock, holder
from reconciler.record.notes import NoteWriter
from reconciler.record.rendered import RenderedStore
from reconciler.record.reporter import Reporter
from reconciler.record.requests import RequestBox
from reconciler.renewal import Continued, start_anew
from reconciler.settings import Settings, SourceSettings
from reconciler.verbs import Answer, files
from reconciler.verbs.agent import AgentVerbs, Progress, SystemClock
from reconciler.verbs.ending import EndInTime
from reconciler.verbs.every import Every
from reconciler.verbs.look import Looker

if TYPE_CHECKING:
    import docker

    from reconciler.act.build import ImageBuilder
    from reconciler.act.compose import ComposeCreator
    from reconciler.act.engine import EngineApplier
    from reconciler.act.images import ImagePuller
    from reconciler.loop.desk import Desk
    from reconciler.loop.ports import Images, Observer
    from reconciler.observe.engine import EngineObserver
    from reconciler.observe.images import LocalImages
    from reconciler.verbs.operator import Operator

TURN_FILE = "turn.json"
STATUS_FILE = "status.json"


def build(
    settings: Settings | None,
    *,
    stop: threading.Event,
    redactor: Redactor,
    before: Continued | None = None,
    tolerant: bool = False,
) -> Application:
    """The application for these settings; without any it can only validate. `before`: it has started anew.

    `tolerant`: secrets that cannot be read are no reason to end; for a verb that shows none.
    """
    application = Application(settings, stop, redactor, os.environ, before=before)
    redactor.register(credentials(settings.source.url) if settings else ())
    try:
        application.secrets.values()  # so that they are masked from now on
    except ReconcilerError:
        if not tolerant:
            raise
    return application


class Application:
    """One process. What a verb does not need is never made. `silence`: seconds without progress that are told."""

    def __init__(
        self,
        settings: Settings | None,
        stop: threading.Event,
        redactor: Redactor,
        environ: Mapping[str, str],
        silence: float = LIMIT,
        before: Continued | None = None,
    ) -> None:
        self._settings, self._stop, self._redactor, self._environ = settings, stop, redactor, environ
        self._silence, self._before = silence, before
        crash_at = environ.get("RECONCILER_CRASH_AT", "")
        self._effects = Effects(int(crash_at) if crash_at.isdecimal() else None)
        self._clock = SystemClock()
        self._progress = Progress(self._clock)
        self._deadline = float("inf")
        self._changes: ChangeWatch | None = None
        self._alarm: AgentAlarm | None = None

    # -- verbs -------------------------------------------------------------------------------------------------

    def validate(
        self, folder: str | None, commit: str | None, git_dir: str | None, compose_files: Sequence[str], policies: bool
    ) -> Answer:
        from reconciler.observe.folder import FolderFiles
        from reconciler.verbs.validate import validate_compose, validate_files

        with self._scratch() as scratch:
            make = partial(self._preparer, scratch)
            if compose_files:
                return validate_compose(compose_files, policies, make, FolderFiles)
            found: Files
            if commit is not None:
                found = files_at(Path(git_dir or "."), commit, self._environ, self._signers)
            else:
                found = FolderFiles(Path(folder or "."))
            base = self._settings.source.path if self._settings else ""
            return validate_files(found, base, self._settings.host if self._settings else None, policies, make)

    def init(self, folder: str, host: str | None, source: str | None, config: str | None, state: str | None) -> Answer:
        from reconciler.wiring_init import initialise

        with self._scratch() as scratch:
            make = partial(self._preparer, scratch)
            return initialise(folder, host, source, config, self._settings, state, self._environ, make)

    def plan(self, commit: str | None) -> Answer:
        lock = StateLock(Path(self.settings.state))
        try:
            lock.acquire()
        except Locked:
            return self._looker.plan(commit, fetch=False)
        try:
            return self._looker.plan(commit, fetch=True)
        finally:
            lock.release()

    def once(self, timeout: float, progress: Callable[[str], None]) -> Answer:
        self._deadline = time.monotonic() + timeout
        with self.working() as verbs:
            code, document = verbs.once(progress)
        ran_out = code == Interrupted.exit_code and not self._stop.is_set()
        return (Transient.exit_code if ran_out else code), document

    def run(self) -> int:
        settings = self.settings
        with self.working() as verbs:
            while not self._watch(verbs):
                start_anew(settings, self._lock.descriptor, self._started_at, self._stop)
        return 143

    def _watch(self, verbs: AgentVerbs) -> bool:
        """Take turns; False when work is done, and the process may be rid of what it took."""
        settings = self.settings
        requests = self._state / "requests"
        requests.mkdir(mode=0o700, exist_ok=True)
        watched = [settings.path] if settings.path else []
        with (
            AgentAlarm(self._stop, settings.source.url, watched, requests) as alarm,
            ChangeWatch(self._engine, settings.host, alarm.ring) as self._changes,
        ):
            self._alarm = alarm
            return verbs.run(alarm, settings.source.interval, fresh=self._before is not None)

    def _changed(self) -> bool:
        return self._changes is not None and self._changes.changed()

    def _pushed(self) -> bool:
        return self._alarm is not None and self._alarm.pushed()

    def doctor(self) -> Answer:
        from reconciler.wiring_doctor import examine

        with self._scratch() as scratch:
            return examine(self.settings, TURN_FILE, scratch)

    def suspend(self, why: str, seconds: float | None, wait: bool) -> Answer:
        until = None if seconds is None else self._clock.now() + seconds
        return self._operator.ask(RequestVerb.SUSPEND, why=why, until=until, wait=wait)

    def resume(self, wait: bool) -> Answer:
        return self._operator.ask(RequestVerb.RESUME, wait=wait)

    def retry(self, revision: str, wait: bool) -> Answer:
        return self._operator.ask(RequestVerb.RETRY, revision, wait=wait)

    def accept(self, revision: str, wait: bool) -> Answer:
        return self._operator.ask(RequestVerb.ACCEPT, revision, wait=wait)

    def status(self, engine: bool) -> Answer:
        return self._looker.status(self._facts(), engine)

    def history(self, revision: str | None, limit: int) -> Answer:
        return self._looker.history(revision, limit)

    # -- what is shared ----------------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        if self._settings is None:
            raise Usage(Reason.USAGE_INVALID, "there is no agent config", "write reconciler.yaml or use --config FILE")
        return self._settings

    @cached_property
    def secrets(self) -> SecretStore:
        folder = self._settings.secrets_dir if self._settings else None
        return SecretStore(Path(folder) if folder else None, self._redactor.register)

    @cached_property
    def _state(self) -> Path:
        return Path(self.settings.state).resolve()

    @cached_property
    def _lock(self) -> StateLock:
        return StateLock(self._state, self._before.lock if self._before else None)

    @cached_property
    def _compose(self) -> str:
        named = self._settings.compose if self._settings else self._environ.get("RECONCILER_COMPOSE")
        return find_compose(named, self._environ)

    @cached_property
    def _engine(self) -> str:
        return engine_host(self.settings.engine, self._environ)

    @cached_property
    def _client(self) -> docker.APIClient:
        return connect(self._engine)

    @cached_property
    def _observer(self) -> Observer:
        def full() -> EngineObserver:
            from reconciler.observe.engine import EngineObserver

            return EngineObserver(self._client, self.settings.host)

        return cast("Observer", Glance(self._engine, functools.cache(full)))

    @cached_property
    def _source(self) -> GitSource:
        source = self.settings.source
        mirror = self._state / "mirror.git"
        return GitSource(
            source.url,
            source.branch,
            mirror,
            environ=self._environ,
            effects=self._effects,
            signers=self._signers,
        )

    @cached_property
    def _signers(self) -> Signers:
        source = self._settings.source if self._settings else SourceSettings("")
        keys, home = source.allowed_signers, source.gpg_home
        return Signers(Path(keys) if keys else None, Path(home) if home else None)

    @cached_property
    def _journal(self) -> Journal:
        return Journal(self._state / "journal.jsonl", self._effects, self._redactor.clean)

    @cached_property
    def _requests(self) -> RequestBox:
        return RequestBox(self._state / "requests", self._effects)

    @cached_property
    def _store(self) -> RenderedStore:
        return RenderedStore(self._state / "rendered", self.secrets.variables, self.secrets.fingerprint, self._effects)

    @cached_property
    def _images(self) -> Images:
        def local() -> LocalImages:
            from reconciler.observe.images import LocalImages

            return LocalImages(self._client)

        return later(local)

    @cached_property
    def _looker(self) -> Looker:
        return Looker(
            self.settings.host,
            self._source,
            self._preparer(self._state / "render", self.settings.host, True),
            self._store,
            self._images,
            self._observer,
            self._journal,
            self._clock,
            HostFiles(),
        )

    def _preparer(self, folder: Path, host: str, policies: bool, base: str | None = None) -> Preparer:
        settings = self._settings
        state = str(self._state) if settings else "/state"
        binds = settings.binds if settings else ()
        places = Places(f"{state}/trees", f"{state}/data", settings.secrets_dir if settings else None, binds)
        rules = Rules(
            host=host,
            places=places,
            base=base if base is not None else settings.source.path if settings else "",
            stack=settings.source.stack if settings else "",
            grants=settings.grants if settings else (),
            binds=binds,
            policies=policies,
        )
        return Preparer(ComposeRenderer(self._compose, folder, self.secrets), rules, self._signers.fingerprint)

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[Path]:
        import tempfile

        with tempfile.TemporaryDirectory(prefix="reconciler-") as folder:
            yield Path(folder)

    # -- what is asked of the agent ----------------------------------------------------------------------------

    @property
    def _operator(self) -> Operator:
        from reconciler.verbs.operator import Operator

        return Operator(self._requests, self._journal, self._serving)

    @contextlib.contextmanager
    def _serving(self) -> Iterator[Desk]:
        """No agent runs, so that we answer. What an agent was held by before may be over now."""
        from reconciler.loop.desk import Desk

        with StateLock(self._state):
            yield Desk(
                Book(self._journal, self._clock), self._source, self._requests, self._clock, self.settings.host
            )
            record = files.read(self._state / TURN_FILE)
            if record.get("holding"):
                files.publish(self._state / TURN_FILE, {**record, "holding": None})

    # -- what changes the machine ------------------------------------------------------------------------------

    @contextlib.contextmanager
    def working(self) -> Iterator[AgentVerbs]:
        """The state lock is held, and what others may want to know is published, while this lasts."""
        with self._lock:
            book = Book(self._journal, self._clock)
            listener = self._listener(book)
            cycle = self._cycle(book, listener)
            self._progress.changed = lambda: self._publish(cycle, listener)
            with EndInTime(self._stop, book.cut_off), Every(listener.limit / 60, listener.check):
                yield AgentVerbs(cycle, self._effects, self._progress, self._clock)

    def _cycle(self, book: Book, listener: Listener) -> Cycle:
        settings = self.settings
        ports = Ports(
            source=self._source,
            preparer=self._preparer(self._state / "render", settings.host, True),
            store=self._store,
            images=self._images,
            observer=self._observer,
            applier=self._applier(listener),
            reporter=self._reporter(),
            requests=self._requests,
            clock=self._clock,
            host_files=HostFiles(),
            changed=self._changed,
        )
        options = Options(
            settings.host,
            settings.source.interval,
            settings.source.require_fast_forward,
            self._progress.step,
            self._stopping,
            self._pushed,
            listener,
        )
        return Cycle(ports, options, book)

    def _listener(self, book: Book) -> Listener:
        def record(silence: Silence) -> None:
            logger.warning("{}", silence.message)
            self._progress.changed()
            book.silent(silence)

        return Listener(self._clock, record, lambda: self._progress.changed(), self._silence)

    def _applier(self, listener: Listener) -> MachineApplier:
        trees = TreeStore(self._state / "trees", self._effects)
        return MachineApplier(
            later(self._engine_applier),
            later(self._creator),
            later(partial(self._puller, listener)),
            later(partial(self._builder, listener)),
            trees,
            self.secrets,
            DataFolders(self._state / "data", self._effects),
        )

    def _engine_applier(self) -> EngineApplier:
        from reconciler.act.engine import EngineApplier

        return EngineApplier(self._client, self._effects, self.settings.host)

    def _creator(self) -> ComposeCreator:
        from reconciler.act.compose import ComposeCreator

        made = self._engine_applier().has_made
        return ComposeCreator(self._compose, self._engine, self._effects, self._environ, made)

    def _puller(self, listener: Listener) -> ImagePuller:
        from reconciler.act.images import ImagePuller, PatientClient

        return ImagePuller(PatientClient(self._engine), self._effects, listener.heard)

    def _builder(self, listener: Listener) -> ImageBuilder:
        from reconciler.act.build import ImageBuilder

        folder, heard = self._state / "build", listener.heard
        return ImageBuilder(self._compose, self._engine, self._client, folder, self._effects, self._environ, heard)

    def _reporter(self) -> Reporter:
        settings, remote = self.settings, self._source.remote
        push = remote.path is not None if settings.notes_push is None else settings.notes_push
        notes = NoteWriter(
            self._source.git, remote.address, settings.host, push=push, effects=self._effects, redactor=self._redactor
        )
        return Reporter(settings.host, notes, settings.log_lines)

    def _stopping(self) -> bool:
        return self._stop.is_set() or time.monotonic() > self._deadline

    # -- what others see ---------------------------------------------------------------------------------------

    def _publish(self, cycle: Cycle, listener: Listener) -> None:
        """Tell other processes; the whole Status too, for those that read files."""
        self._progress.silence = listener.silence
        record = files.progress_record(self._progress, os.getpid(), self._started_at, __version__)
        files.publish(self._state / TURN_FILE, masked(record, self._redactor))
        try:
            _, document = self._looker.glance(self._facts(), cycle.looked)
        except ReconcilerError as error:
            document = summary.error(error.reason.value, error.message, error.hint, error.details)
        files.publish(self._state / STATUS_FILE, masked(document, self._redactor))

    @cached_property
    def _started_at(self) -> float:
        return self._before.started_at if self._before else time.time()

    def _facts(self) -> StatusFacts:
        pid = holder(self._state)
        record = files.read(self._state / TURN_FILE)
        alive = pid is not None and record.get("pid") == pid
        agent = Agent(
            pid is not None,
            pid,
            record.get("version") if alive else None,
            record.get("startedAt") if alive else None,
        )
        source = SourceFacts(
            self._source.remote.shown,
            self.settings.source.branch,
            record.get("head"),
            record.get("fetchedAt"),
            record.get("error"),
        )
        facts = self._looker.facts(agent, source, files.holding(record), files.rollout(record) if alive else None)
        return replace(facts, silence=files.silence(record) if alive else None)
