"""The composition root: what each verb is made of. Concrete adapters are named here and in `wiring_*` alone."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger

from reconciler.decide.redact import Redactor
from reconciler.effects import Effects
from reconciler.errors import Interrupted, Locked, ReconcilerError, Transient
from reconciler.loop.stall_watchdog import LIMIT
from reconciler.model.files import Files
from reconciler.model.requests import RequestVerb
from reconciler.observe.remote import credentials
from reconciler.observe.source import files_at
from reconciler.record.lock import StateLock
from reconciler.renewal import Continued
from reconciler.settings import Settings
from reconciler.verbs import Answer, files
from reconciler.wiring.reading import TURN_FILE, Reading

if TYPE_CHECKING:
    from reconciler.loop.request_handler import RequestHandler
    from reconciler.observe.secrets import SecretStore
    from reconciler.verbs.agent import AgentVerbs
    from reconciler.verbs.operator import Operator
    from reconciler.wiring.working import Working


def build(
    settings: Settings | None,
    *,
    stop: threading.Event,
    redactor: Redactor,
    before: Continued | None = None,
    tolerant: bool = False,
) -> Application:
    """The application for these settings; without any it can only validate. `before`: it has started anew.

    `tolerant`: secrets that cannot be read are no reason to end; for a verb that only reads.
    """
    application = Application(settings, stop, redactor, os.environ, before=before)
    redactor.register(credentials(settings.source.url) if settings else ())
    try:
        application.secrets.values()  # so that they are masked from now on
    except ReconcilerError:
        if not tolerant:
            raise
        application.secrets.tolerate()
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
        crash_at = environ.get("RECONCILER_CRASH_AT", "")
        effects = Effects(int(crash_at) if crash_at.isdecimal() else None)
        self._parts = Reading(settings, redactor, environ, effects)
        self._stop, self._redactor, self._silence, self._before = stop, redactor, silence, before

    @property
    def secrets(self) -> SecretStore:
        return self._parts.secrets

    # -- verbs -------------------------------------------------------------------------------------------------

    def validate(
        self,
        folder: str | None,
        commit: str | None,
        git_dir: str | None,
        compose_files: Sequence[str],
        policies: bool,
        grants: bool = False,
    ) -> Answer:
        from reconciler.observe.folder import FolderFiles
        from reconciler.verbs.validate import validate_compose, validate_files

        with self._scratch() as scratch:
            make = partial(self._parts.preparer, scratch)
            if compose_files:
                return validate_compose(compose_files, policies, make, FolderFiles, grants)
            found: Files
            if commit is not None:
                found = files_at(Path(git_dir or "."), commit, self._parts.environ, self._parts.signers)
            else:
                from reconciler.observe.project import working_folder

                found = working_folder(Path(folder or "."), self._parts.environ)
            given = self._parts.given
            base, host = (given.source.path, given.host) if given else ("", None)
            return validate_files(found, base, host, policies, make, grants)

    def init(self, folder: str, host: str | None, source: str | None, config: str | None, state: str | None) -> Answer:
        from reconciler.wiring.init import initialise

        with self._scratch() as scratch:
            make = partial(self._parts.preparer, scratch)
            return initialise(folder, host, source, config, self._parts.given, state, self._parts.environ, make)

    def plan(self, commit: str | None) -> Answer:
        lock = StateLock(self._parts.state)
        try:
            lock.acquire()
        except Locked:
            return self._parts.queries.plan(commit, fetch=False)
        try:
            return self._parts.queries.plan(commit, fetch=True)
        finally:
            lock.release()

    def once(self, timeout: float, progress: Callable[[str], None]) -> Answer:
        self._working.deadline = time.monotonic() + timeout
        with self.working() as verbs:
            code, document = verbs.once(progress)
        ran_out = code == Interrupted.exit_code and not self._stop.is_set()
        return (Transient.exit_code if ran_out else code), document

    def run(self) -> int:
        return self._working.run()

    def working(self) -> contextlib.AbstractContextManager[AgentVerbs]:
        """The state lock is held while this lasts."""
        return self._working.verbs()

    @cached_property
    def _working(self) -> Working:
        """Nothing that changes the machine is made, nor even loaded, for any other verb."""
        from reconciler.wiring.working import Working

        return Working(self._parts, self._stop, self._redactor, self._silence, self._before)

    def doctor(self) -> Answer:
        from reconciler.wiring.doctor import examine

        with self._scratch() as scratch:
            return examine(self._parts.settings, TURN_FILE, scratch)

    def policy_unused(self) -> Answer:
        from reconciler.verbs.policy import unused

        return unused(self._parts.settings.permissions, self._parts.uses.load(), self._parts.clock.now())

    def suspend(self, why: str, seconds: float | None, wait: bool) -> Answer:
        until = None if seconds is None else self._parts.clock.now() + seconds
        return self._operator.ask(RequestVerb.SUSPEND, why=why, until=until, wait=wait)

    def resume(self, wait: bool) -> Answer:
        return self._operator.ask(RequestVerb.RESUME, wait=wait)

    def retry(self, revision: str, wait: bool) -> Answer:
        return self._operator.ask(RequestVerb.RETRY, revision, wait=wait)

    def accept(self, revision: str, wait: bool) -> Answer:
        return self._operator.ask(RequestVerb.ACCEPT, revision, wait=wait)

    def status(self, engine: bool) -> Answer:
        return self._parts.queries.status(self._parts.facts(), engine)

    def history(self, revision: str | None, limit: int) -> Answer:
        trouble = self._parts.secrets.trouble()
        if trouble is not None:
            logger.warning("{}. {}", trouble.message, trouble.hint)
        return self._parts.queries.history(revision, limit)

    # -- what is asked of the agent ----------------------------------------------------------------------------

    @property
    def _operator(self) -> Operator:
        from reconciler.verbs.operator import Operator

        return Operator(self._parts.requests, self._parts.journal, self._serving)

    @contextlib.contextmanager
    def _serving(self) -> Iterator[RequestHandler]:
        """No agent runs, so that we answer. What an agent was held by before may be over now."""
        from reconciler.loop.ledger import Ledger
        from reconciler.loop.request_handler import RequestHandler

        parts, turn = self._parts, self._parts.state / TURN_FILE
        with StateLock(parts.state):
            ledger = Ledger(parts.journal, parts.clock)
            ledger.refresh()
            settings = parts.settings
            yield RequestHandler(
                ledger, parts.source, parts.requests, parts.clock, settings.host, settings.source.require_fast_forward
            )
            record = files.read(turn)
            if record.get("holding"):
                files.publish(turn, {**record, "holding": None})

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[Path]:
        import tempfile

        with tempfile.TemporaryDirectory(prefix="reconciler-") as folder:
            yield Path(folder)
