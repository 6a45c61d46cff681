"""Runs a command: parses the arguments, calls the application, prints its answer, returns its exit code."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Sequence
from threading import Event
from typing import TYPE_CHECKING

from reconciler.decide.redact import Redactor
from reconciler.environment import PRIVATE, leave_working_folder
from reconciler.errors import ReconcilerError, Usage
from reconciler.logs import start_logs
from reconciler.model.outcome import Reason
from reconciler.output import Output, colours_wanted
from reconciler.parser import parse, wants_json
from reconciler.signals import Ended, Signals

if TYPE_CHECKING:
    from reconciler.settings import Settings
    from reconciler.wiring.assembly import Application

    Build = Callable[[argparse.Namespace, Redactor, Event], Application]

USUAL = 700
"""Python's own threshold of `gc`."""

DEFECT = "this is a defect of reconciler; run with RECONCILER_LOG_LEVEL=DEBUG for the trace"


def main(arguments: Sequence[str] | None = None, build: Build | None = None) -> int:
    """The whole program; returns the process's exit code. `build` makes the application for verbs that need one."""
    typed = sys.argv[1:] if arguments is None else list(arguments)
    redactor = Redactor()
    output = Output(as_json := wants_json(typed), colours_wanted("--no-color" in typed, os.environ), redactor)
    signals = Signals()
    signals.listen(patient=False)
    before = os.umask(PRIVATE)
    try:
        known = parse(typed)
        if known.on and not known.verb.laptop:
            return _elsewhere(known, typed, redactor, signals, as_json)
        if os.environ.pop("RECONCILER_TETHER", ""):
            signals.tether()
        return signals.exit_code(_perform(known, output, redactor, signals, build or _build))
    except ReconcilerError as error:
        output.error(error)
        return signals.exit_code(error.exit_code)
    except Ended as ended:
        return ended.exit_code
    except Exception as error:
        return _defect(error, output)
    finally:
        os.umask(before)


def _elsewhere(
    known: argparse.Namespace, typed: Sequence[str], redactor: Redactor, signals: Signals, as_json: bool
) -> int:
    """Run the verb on the machine that --on names."""
    from reconciler.wiring.remote import run_there

    start_logs(os.environ.get("RECONCILER_LOG_LEVEL") or "WARNING", redactor)
    leave_working_folder(os.environ)
    root = known.verb.root or getattr(known, "security", False)
    return run_there(known.on, typed, signals, os.environ, as_json=as_json, root=root)


def _perform(typed: argparse.Namespace, output: Output, redactor: Redactor, signals: Signals, build: Build) -> int:
    start_logs(
        os.environ.get("RECONCILER_LOG_LEVEL") or typed.verb.logs, redactor, os.environ.get("RECONCILER_LOG_FILE")
    )
    leave_working_folder(os.environ)
    signals.listen(patient=typed.verb.patient)
    if typed.verb.patient:
        gc.set_threshold(USUAL)  # a short process need not collect garbage, an agent must
    code, document = build(typed, redactor, signals.stop).answer(typed, output.progress)
    if document:
        output.document(document, every=getattr(typed, "all", False))
    return code


def _build(typed: argparse.Namespace, redactor: Redactor, stop: Event) -> Application:
    # Imported here, so that --help and wrong usage cost nothing.
    from reconciler.renewal import taken_over

    before = taken_over(os.environ)
    settings = (before.settings if before else None) or _settings(typed)
    from reconciler.wiring import assembly

    # With --running root works for another account, and refuses to read that account's secrets (`ownership.py`).
    tolerant = typed.verb.tolerant or getattr(typed, "running", False)
    return assembly.build(settings, stop=stop, redactor=redactor, before=before, tolerant=tolerant)


def _settings(typed: argparse.Namespace) -> Settings | None:
    """The agent config; None if there is none and the verb does not need one."""
    if typed.verb.config == "own":
        return None
    from reconciler.agent_config import passed_over
    from reconciler.settings import load_settings

    ignored = passed_over(typed.config, os.environ, os.getcwd())
    if ignored:
        _warn_of(ignored)
    try:
        return load_settings(typed.config, os.environ, state=typed.state)
    except Usage:
        needed, named = typed.verb.config, typed.config or os.environ.get("RECONCILER_CONFIG")
        if needed == "needed" or (needed == "optional" and named) or _exists(typed.config):
            raise
        return None


def _exists(config: str | None) -> bool:
    """Whether an agent config exists at all: one that cannot be read must not be ignored."""
    from reconciler.agent_config import searched

    named = config or os.environ.get("RECONCILER_CONFIG")
    return any(map(os.path.exists, [named] if named else searched(os.environ)))


def _warn_of(ignored: str) -> None:
    import shlex

    from reconciler.log import logger

    logger.warning(
        "{} is ignored: no agent config is read from the working folder, which may be a clone of somebody else's. "
        "If it is yours, name it: --config {}",
        ignored,
        shlex.quote(ignored),
    )


def _defect(error: Exception, output: Output) -> int:
    from reconciler.log import logger

    logger.opt(exception=error).debug("unexpected error")
    told = ReconcilerError(Reason.INTERNAL_ERROR, f"{type(error).__name__}: {error}", DEFECT)
    output.error(told)
    return told.exit_code
