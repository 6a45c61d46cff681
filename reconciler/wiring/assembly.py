"""The composition root: gives each verb its adapters. Only `wiring` names concrete adapters."""

from __future__ import annotations

import argparse
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.decide.redact import Redactor
from reconciler.effects import Effects
from reconciler.errors import Interrupted, Locked, ReconcilerError, Transient, Usage
from reconciler.log import logger
from reconciler.model.files import Files
from reconciler.model.outcome import Reason
from reconciler.model.requests import RequestVerb
from reconciler.observe.remote import credentials
from reconciler.record.lock import StateLock
from reconciler.renewal import Continued
from reconciler.settings import Settings
from reconciler.verbs import Answer
from reconciler.wiring.reading import TURN_FILE, Reading

FOLLOWED = 20
"""Newest lines of each service that `logs --follow` begins with."""

if TYPE_CHECKING:
    from reconciler.loop.request_handler import RequestHandler
    from reconciler.observe.read_back import ReadBack
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
    """The application for these settings; without settings it can only validate. `before`: the state of the process
    before it restarted itself.

    `tolerant`: continue if secrets cannot be read; for verbs that only read. A restarted agent also continues.
    """
    application = Application(settings, stop, redactor, os.environ, before=before)
    redactor.register(credentials(settings.source.url) if settings else ())
    if settings and (settings.notify or settings.heartbeat):
        from reconciler.formats.targets import secrets

        urls = [*(item.url for item in settings.notify), *([settings.heartbeat.url] if settings.heartbeat else [])]
        redactor.register(secret for url in urls for secret in secrets(url))
    try:
        known = application.secrets.values()  # registers the secrets for masking
        if known and settings and Path(settings.state).is_dir():
            redactor.spare(application.services())
    except ReconcilerError:
        if not tolerant and before is None:
            raise
        application.secrets.tolerate()
    return application


class Application:
    """One process. Adapters that a verb does not need are never made. `silence`: seconds without progress that are
    reported.

    For each verb of `commands.VERBS` it has a method of its name, which takes the typed options.
    """

    def __init__(
        self,
        settings: Settings | None,
        stop: threading.Event,
        redactor: Redactor,
        environ: Mapping[str, str],
        silence: float | None = None,
        before: Continued | None = None,
    ) -> None:
        crash_at = environ.get("RECONCILER_CRASH_AT", "")
        effects = Effects(int(crash_at) if crash_at.isdecimal() else None)
        self._parts = Reading(settings, redactor, environ, effects)
        self._stop, self._redactor, self._silence, self._before = stop, redactor, silence, before
        self._tell: Callable[[str], None] = lambda line: None

    @property
    def secrets(self) -> SecretStore:
        return self._parts.secrets

    def services(self) -> list[str]:
        """Names of the services of all states that are kept; none if the state folder cannot be used."""
        with contextlib.suppress(ReconcilerError):
            return list(self._parts.store.services())
        return []

    # -- verbs -------------------------------------------------------------------------------------------------

    def answer(self, typed: argparse.Namespace, tell: Callable[[str], None]) -> Answer:
        """Run the typed verb. `tell` gets a line for each thing that is done. ReconcilerError if it cannot be done; an
        empty document if there is nothing to print."""
        self._tell = tell
        answer: Answer = getattr(self, typed.verb.method)(typed)
        return answer

    def validate(self, typed: argparse.Namespace) -> Answer:
        with self._scratch() as scratch:
            make = partial(self._parts.preparer, scratch)
            policies = typed.policies == "on"
            if typed.file:
                from reconciler.observe.project import folder_around
                from reconciler.verbs.validate import validate_compose

                read = partial(folder_around, [Path(path) for path in typed.file], environ=self._parts.environ)
                return validate_compose(typed.file, policies, make, read, typed.grants, self._read_back())
            found: Files
            if typed.commit is not None:
                from reconciler.observe.source import files_at

                found = files_at(Path(typed.git_dir), typed.commit, self._parts.environ, self._parts.signers)
            else:
                from reconciler.observe.project import working_folder

                found = working_folder(Path(typed.DIR or "."), self._parts.environ)
            known = self._parts.known(policies, typed.grants)
            answer, name = known.get(found, found.revision)
            if answer is not None:
                return answer
            from reconciler.verbs.validate import validate_files

            given = self._parts.given
            base, host = (given.source.path, given.host) if given else ("", None)
            answer = validate_files(found, base, host, policies, make, typed.grants, self._read_back())
            known.put(name, answer)
            return answer

    def _read_back(self) -> ReadBack:
        """The checker of create-files. It remembers valid files in the state folder, if that belongs to this user."""
        from reconciler.observe.read_back import CACHE, ReadBack

        parts, given = self._parts, self._parts.given
        if given is None or not os.access(given.state, os.W_OK):
            return ReadBack(parts.compose)
        try:
            return ReadBack(parts.compose, parts.state / CACHE, parts.sealed if given.secrets_dir else str)
        except Usage:  # others can write there
            return ReadBack(parts.compose)

    def init(self, typed: argparse.Namespace) -> Answer:
        if typed.bare:
            from reconciler.wiring.hooks import make_repository

            return make_repository(typed.bare, typed.host, self._parts.given, typed.config, self._parts.environ)
        from reconciler.wiring.init import gather_running, initialise

        folder, gathered = typed.DIR or ".", None
        if typed.running:
            gathered = gather_running(folder, typed.user, self._parts.given, self._parts.environ)
        with self._scratch() as scratch:
            make = partial(self._parts.preparer, scratch)
            return initialise(
                folder,
                typed.host,
                typed.source,
                typed.config,
                self._parts.given,
                typed.state,
                self._parts.environ,
                make,
                gathered=gathered,
            )

    def plan(self, typed: argparse.Namespace) -> Answer:
        from reconciler.wiring.showing import plan

        lock = StateLock(self._parts.state)
        try:
            lock.acquire()
        except Locked:
            return plan(self._parts, typed.commit, fetch=False)
        try:
            return plan(self._parts, typed.commit, fetch=True)
        finally:
            lock.release()

    def once(self, typed: argparse.Namespace) -> Answer:
        self._working.deadline = time.monotonic() + typed.timeout
        with self.working() as verbs:
            code, document = verbs.once(self._tell)
        ran_out = code == Interrupted.exit_code and not self._stop.is_set()
        return (Transient.exit_code if ran_out else code), document

    def run(self, typed: argparse.Namespace) -> Answer:
        return self._working.run(), {}

    def engine_read(self, typed: argparse.Namespace) -> Answer:
        from reconciler.observe.engine_read import serve

        serve(self._parts.state, self._parts.engine, self._stop)
        return Interrupted.exit_code, {}

    def working(self) -> contextlib.AbstractContextManager[AgentVerbs]:
        """The state lock is held within this context."""
        return self._working.verbs()

    @cached_property
    def _working(self) -> Working:
        """The adapters that change the machine. They are imported here only, so other verbs cannot have them."""
        from reconciler.loop.stall_watchdog import LIMIT
        from reconciler.wiring.working import Working

        return Working(self._parts, self._stop, self._redactor, self._silence or LIMIT, self._before)

    def doctor(self, typed: argparse.Namespace) -> Answer:
        from reconciler.wiring.doctor import examine, examine_security

        with self._scratch() as scratch:
            if typed.security:
                return examine_security(self._parts.settings, scratch, self._redactor)
            return examine(self._parts.settings, TURN_FILE, scratch, self._redactor)

    def key(self, typed: argparse.Namespace) -> Answer:
        from reconciler.wiring.key import make_key

        return make_key(self._parts, typed.register)

    def notify_test(self, typed: argparse.Namespace) -> Answer:
        from reconciler.report.courier import Courier
        from reconciler.verbs.notify import test_targets

        settings = self._parts.settings
        return test_targets(settings.host, settings.notify, Courier(self._parts.environ))

    def preview(self, typed: argparse.Namespace) -> Answer:
        from reconciler.wiring.preview import judge_pulls

        return judge_pulls(self._parts)

    def policy_unused(self, typed: argparse.Namespace) -> Answer:
        from reconciler.verbs.policy import unused

        return unused(self._parts.settings.permissions, self._parts.uses.load(), self._parts.clock.now())

    def suspend(self, typed: argparse.Namespace) -> Answer:
        until = None if typed.seconds is None else self._parts.clock.now() + typed.seconds
        return self._operator.ask(RequestVerb.SUSPEND, why=typed.reason, until=until, wait=not typed.no_wait)

    def resume(self, typed: argparse.Namespace) -> Answer:
        return self._operator.ask(RequestVerb.RESUME, wait=not typed.no_wait)

    def retry(self, typed: argparse.Namespace) -> Answer:
        return self._operator.ask(RequestVerb.RETRY, typed.REV, wait=not typed.no_wait)

    def accept(self, typed: argparse.Namespace) -> Answer:
        return self._operator.ask(RequestVerb.ACCEPT, typed.REV, wait=not typed.no_wait)

    def status(self, typed: argparse.Namespace) -> Answer:
        if typed.all or typed.from_notes:
            from reconciler.wiring.deploying import fleet

            return fleet(self._parts.environ, typed.from_notes)
        from reconciler.wiring.showing import facts

        return self._parts.status.status(facts(self._parts), not typed.no_engine)

    def history(self, typed: argparse.Namespace) -> Answer:
        trouble = self._parts.secrets.trouble()
        if trouble is not None:
            logger.warning("{}. {}", trouble.message, trouble.hint)
        return self._parts.status.history(typed.REV, typed.limit)

    def install(self, typed: argparse.Namespace) -> Answer:
        from reconciler.wiring.service import install

        return install(typed, self._parts)

    def uninstall(self, typed: argparse.Namespace) -> Answer:
        from reconciler.wiring.service import uninstall

        return uninstall(typed, self._parts)

    def logs(self, typed: argparse.Namespace) -> Answer:
        from reconciler.output import Lines, colours_wanted
        from reconciler.record.summary_logs import log_line
        from reconciler.record.text.logs import LogText
        from reconciler.verbs.logs import LOOK, Wanted
        from reconciler.wiring.logs import logs_of

        now = self._parts.clock.now()
        since, until = (moment and moment(now) for moment in (typed.since, typed.until))
        if since is not None and until is not None and until < since:
            hint = "a duration counts back from now: --since 1h --until 5s"
            raise Usage(Reason.USAGE_INVALID, "--until is before --since: no line can lie between them", hint)
        tail = FOLLOWED if typed.follow and typed.tail is None and since is None else typed.tail
        folder, names = (typed.NAME[1], typed.NAME[2:]) if typed.NAME[:1] == ["export"] else (None, typed.NAME)
        wanted = Wanted(tuple(names), since, until, tail, typed.grep, typed.previous, typed.level)
        logs = logs_of(self._parts, self._redactor)
        if folder is not None:
            from reconciler.verbs.log_export import export

            return export(Path(folder), logs.parts(wanted))
        parts = logs.follow(wanted, LOOK) if typed.follow else logs.parts(wanted)
        lines = Lines(typed.output == "json", colours_wanted(typed.no_color, self._parts.environ))
        lines.show((list(map(log_line, part)) for part in parts), LogText())
        return 0, {}

    def alerts(self, typed: argparse.Namespace) -> Answer:
        from reconciler.verbs import alerts

        state = self._parts.state
        return alerts.fire(state, typed.WORD[1]) if typed.WORD else alerts.show(state, self._parts.clock.now())

    def monitor(self, typed: argparse.Namespace) -> Answer:
        from reconciler.wiring.monitor import monitor

        textfile = typed.textfile or self._parts.settings.monitor.textfile
        monitor(self._parts, self._redactor, self._stop, textfile, self._tell)
        return Interrupted.exit_code, {}

    def bootstrap(self, typed: argparse.Namespace) -> Answer:
        from reconciler.wiring.bootstrapping import bootstrap

        return bootstrap(typed, self._parts.environ, self._tell)

    def dashboard(self, typed: argparse.Namespace) -> Answer:
        from reconciler.wiring.dashboard import dashboard

        return dashboard(self._parts, self._redactor, self._stop, typed), {}

    def deploy(self, typed: argparse.Namespace) -> Answer:
        from reconciler.wiring.deploying import deploy

        return deploy(typed, self._parts.environ, self._stop, self._tell)

    def rollback(self, typed: argparse.Namespace) -> Answer:
        from reconciler.wiring.deploying import roll_back

        return roll_back(typed, self._parts.environ, self._stop, self._tell)

    def tunnel(self, typed: argparse.Namespace) -> Answer:
        from reconciler.wiring.tunnels import tunnel

        return tunnel(typed, self._parts.environ, self._stop, self._tell)

    def nettest(self, typed: argparse.Namespace) -> Answer:
        from reconciler.wiring.tunnels import measure

        return measure(typed, self._parts.environ, self._stop, self._tell)

    def upgrade(self, typed: argparse.Namespace) -> Answer:
        from reconciler.wiring.upgrading import upgrade

        return upgrade(typed, self._parts, self._stop, self._tell)

    def completion(self, typed: argparse.Namespace) -> Answer:
        from reconciler.fleet import load_hosts
        from reconciler.verbs.completion import bash

        names = (host.name for host in load_hosts(self._parts.environ))
        for line in (bash() if typed.WHAT == "bash" else " ".join(names)).splitlines():
            self._tell(line)
        return 0, {}

    def hooks_install(self, typed: argparse.Namespace) -> Answer:
        from reconciler.wiring.hooks import install

        return install(typed.repo, typed.config, self._parts.environ)

    def hooks_uninstall(self, typed: argparse.Namespace) -> Answer:
        from reconciler.wiring.hooks import hooks_of

        return hooks_of(typed.repo, self._parts.environ, change=True).uninstall()

    def hooks_status(self, typed: argparse.Namespace) -> Answer:
        from reconciler.wiring.hooks import hooks_of

        return hooks_of(typed.repo, self._parts.environ).status()

    def hooks_run(self, typed: argparse.Namespace) -> Answer:
        from reconciler.wiring.hooks import run

        return run(typed.HOOK, typed.ARGUMENTS, typed.config, self._parts.environ, self._redactor, self._tell), {}

    # -- requests to the agent ---------------------------------------------------------------------------------

    @property
    def _operator(self) -> Operator:
        from reconciler.verbs.operator import Operator

        return Operator(self._parts.requests, self._parts.journal, self._serving)

    @contextlib.contextmanager
    def _serving(self) -> Iterator[RequestHandler]:
        """No agent holds the lock: answer here. The `holding` of an earlier agent is stale and is cleared."""
        from reconciler.loop.ledger import Ledger
        from reconciler.loop.request_handler import RequestHandler
        from reconciler.verbs import files

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
