"""Commands: read what was typed, ask the application, print its answer, end with its exit code."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol

from reconciler.commands import parse, wants_json
from reconciler.decide.redact import Redactor
from reconciler.errors import ReconcilerError, Usage
from reconciler.logs import start_logs
from reconciler.model.outcome import Reason
from reconciler.output import Output, colours_wanted
from reconciler.signals import INTERRUPTED, Ended, Signals
from reconciler.surroundings import PRIVATE, leave_working_folder

if TYPE_CHECKING:
    from reconciler.settings import Settings

Answer = tuple[int, Mapping[str, Any]]
"""Exit code and the document of the contract."""

PATIENT = frozenset({"once", "run"})
"""Verbs that a signal asks to come to an end; the others are simply ended."""

DEFECT = "this is a defect of reconciler; run with RECONCILER_LOG_LEVEL=DEBUG for the trace"


WITHOUT_CONFIG = frozenset({"validate", "init"})
"""Verbs that can do without an agent config."""


class Application(Protocol):
    """What the commands need; `assembly.build` makes one. Each raises ReconcilerError where it cannot answer."""

    def validate(
        self,
        folder: str | None,
        commit: str | None,
        git_dir: str | None,
        compose_files: Sequence[str],
        policies: bool,
        grants: bool = False,
    ) -> Answer:
        """`grants`: say what the commit needs to be admitted."""

    def init(
        self, folder: str, host: str | None, source: str | None, config: str | None, state: str | None
    ) -> Answer: ...

    def plan(self, commit: str | None) -> Answer: ...

    def once(self, timeout: float, progress: Callable[[str], None]) -> Answer:
        """`timeout` in seconds; `progress` gets a line for each thing that is done."""

    def run(self) -> int: ...

    def status(self, engine: bool) -> Answer: ...

    def history(self, revision: str | None, limit: int) -> Answer: ...

    def suspend(self, why: str, seconds: float | None, wait: bool) -> Answer:
        """`seconds`: for so long, None: until it is resumed. `wait`: for a running agent to answer."""

    def resume(self, wait: bool) -> Answer: ...

    def retry(self, revision: str, wait: bool) -> Answer: ...

    def accept(self, revision: str, wait: bool) -> Answer: ...

    def doctor(self) -> Answer: ...

    def policy_unused(self) -> Answer: ...


Build = Callable[[argparse.Namespace, Redactor, Event], Application]


def main(arguments: Sequence[str] | None = None, build: Build | None = None) -> int:
    """The whole program; returns the process's exit code. `build` makes the application, once it is needed."""
    typed = sys.argv[1:] if arguments is None else list(arguments)
    redactor = Redactor()
    output = Output(wants_json(typed), colours_wanted("--no-color" in typed, os.environ), redactor)
    signals = Signals()
    signals.listen(patient=False)
    before = os.umask(PRIVATE)
    try:
        return signals.exit_code(_perform(parse(typed), output, redactor, signals, build or _build))
    except ReconcilerError as error:
        output.error(error)
        return signals.exit_code(error.exit_code)
    except Ended as ended:
        return ended.exit_code
    except Exception as error:
        return _defect(error, output)
    finally:
        os.umask(before)


def _perform(options: argparse.Namespace, output: Output, redactor: Redactor, signals: Signals, build: Build) -> int:
    usual = "INFO" if options.verb == "run" else "WARNING"
    start_logs(os.environ.get("RECONCILER_LOG_LEVEL") or usual, redactor)
    leave_working_folder(os.environ)
    signals.listen(patient=options.verb in PATIENT)
    application = build(options, redactor, signals.stop)
    if options.verb == "run":
        code = application.run()
        return INTERRUPTED if code == 0 and signals.stop.is_set() else code
    code, document = _ask(application, options, output)
    output.document(document, every=getattr(options, "all", False))
    return code


def _build(options: argparse.Namespace, redactor: Redactor, stop: Event) -> Application:
    # Imported here, so that --help and wrong usage cost nothing.
    from reconciler.renewal import taken_over

    before = taken_over(os.environ)
    settings = (before.settings if before else None) or _settings(options)
    from reconciler.wiring import assembly

    tolerant = options.verb in ("doctor", "status", "history")
    return assembly.build(settings, stop=stop, redactor=redactor, before=before, tolerant=tolerant)


def _settings(options: argparse.Namespace) -> Settings | None:
    """None: there is no agent config, and the verb can do without."""
    from reconciler.agent_config import passed_over
    from reconciler.settings import load_settings

    ignored = passed_over(options.config, os.environ, os.getcwd())
    if ignored:
        _warn_of(ignored)
    try:
        return load_settings(options.config, os.environ, state=options.state)
    except Usage:
        named = options.verb == "validate" and (options.config or os.environ.get("RECONCILER_CONFIG"))
        if options.verb not in WITHOUT_CONFIG or named or _exists(options.config):
            raise
        return None


def _exists(config: str | None) -> bool:
    """Whether there is an agent config at all: one that cannot be read must not be overlooked."""
    from reconciler.agent_config import searched

    named = config or os.environ.get("RECONCILER_CONFIG")
    return any(map(os.path.exists, [named] if named else searched(os.environ)))


def _warn_of(ignored: str) -> None:
    from loguru import logger

    logger.warning(
        "{} is ignored: no agent config is read from the working folder, which may be a clone of somebody else's. "
        "If it is yours, name it: --config {}",
        ignored,
        shlex.quote(ignored),
    )


def _ask(application: Application, options: argparse.Namespace, output: Output) -> Answer:
    match options.verb:
        case "init":
            return application.init(options.DIR or ".", options.host, options.source, options.config, options.state)
        case "validate":
            git_dir = options.git_dir if options.commit else None
            on = options.policies == "on"
            return application.validate(options.DIR, options.commit, git_dir, options.file or (), on, options.grants)
        case "plan":
            return application.plan(options.commit)
        case "once":
            return application.once(options.timeout, output.progress)
        case "status":
            return application.status(not options.no_engine)
        case "suspend":
            return application.suspend(options.reason, getattr(options, "for"), not options.no_wait)
        case "resume":
            return application.resume(not options.no_wait)
        case "retry":
            return application.retry(options.REV, not options.no_wait)
        case "accept":
            return application.accept(options.REV, not options.no_wait)
        case "doctor":
            return application.doctor()
        case "policy unused":
            return application.policy_unused()
    return application.history(options.REV, options.limit)


def _defect(error: Exception, output: Output) -> int:
    from loguru import logger

    logger.opt(exception=error).debug("unexpected error")
    told = ReconcilerError(Reason.INTERNAL_ERROR, f"{type(error).__name__}: {error}", DEFECT)
    output.error(told)
    return told.exit_code
