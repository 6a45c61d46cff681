"""The adapters of `dashboard`, which are the monitor's. Changes are made by other verbs, in separate processes."""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler import __version__, process
from reconciler.decide.redact import Redactor
from reconciler.errors import Interrupted, Transient, Usage
from reconciler.later import extra
from reconciler.model.alerts import Alert
from reconciler.model.outcome import Reason
from reconciler.output import colours_wanted
from reconciler.record.lock import holder
from reconciler.record.summary_alerts import read
from reconciler.record.summary_logs import log_line
from reconciler.verbs import alerts, files
from reconciler.verbs.logs import LOOK, ON_SCREEN, Wanted
from reconciler.wiring.monitor import View
from reconciler.wiring.program import ourselves
from reconciler.wiring.reading import STATUS_FILE, TURN_FILE, Reading

if TYPE_CHECKING:
    from reconciler.monitor.snapshot import Snapshot

Json = Mapping[str, Any]

EXTRA = f"{extra('tui')} installs what it needs"

EVERY = 1.8
"""Seconds between two measurements of containers; with the screen's tick they are shown within two seconds."""

EACH = 20
"""Largest number of lines that a look for new ones reads of each service, the newest ones."""

BEFORE = 500
"""Number of older lines with which a followed log begins."""

LONGEST = 120.0
"""Seconds that a verb may take to answer: a plan may render large Compose files."""


def dashboard(parts: Reading, redactor: Redactor, stop: threading.Event, typed: argparse.Namespace) -> int:
    """Run until a person leaves it or `stop` is set; returns the exit code. Usage without a terminal or the extra."""
    _require_terminal(typed, parts.environ)
    view, colour = View(parts, redactor, stop), colours_wanted(typed.no_color, parts.environ)
    _tell_textual(colour)
    gc.disable()  # until the first draw: the imported objects all stay, so looking for garbage is wasted
    try:
        import psutil  # noqa: F401  the collector needs it; a missing library must be reported before the first draw

        from reconciler.dashboard.app import Dashboard
        from reconciler.dashboard.threads import Doors, Newest
        from reconciler.monitor.samples import Samples
        from reconciler.monitor.snapshot import Board
    except ImportError as error:
        raise Usage(Reason.USAGE_INVALID, f"the dashboard cannot be loaded: {error}", EXTRA) from error
    board, samples = Board(_first(parts)), Samples()
    newest = Newest(partial(_newest, view))

    def collect() -> None:
        from reconciler.monitor.collector import Collector

        # `sources` is called in this thread, because it asks the engine, which may hang.
        Collector(view.sources(), board, samples, partial(_alerts, parts.state), every=EVERY).run(stop)

    def begin() -> None:
        """Start the threads after the first draw, which they must not delay."""
        gc.freeze()
        gc.enable()
        threading.Thread(target=collect, name="collector", daemon=True).start()
        threading.Thread(target=newest.run, args=(stop,), name="newest-log", daemon=True).start()

    ask = partial(_ask, ourselves(parts.settings), parts.environ)
    doors = Doors(parts.settings.host, board, samples, partial(_follow, view), ask, stop.is_set)
    program = Dashboard(doors, newest, colour, begin)
    # No mouse: so the terminal's own selection works, and mouse movements send nothing over ssh.
    program.run(mouse=False)
    asked = stop.is_set()
    stop.set()
    if program.failure is not None:
        raise program.failure
    return Interrupted.exit_code if asked else 0


def _require_terminal(typed: argparse.Namespace, environ: Mapping[str, str]) -> None:
    other = "`reconciler status` says the same once, also with --output json"
    if typed.output == "json":
        raise Usage(Reason.USAGE_INVALID, "the dashboard has no JSON", other)
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        hint = f"over ssh: `reconciler --on NAME dashboard`, or `ssh -t`; {other}"
        raise Usage(Reason.USAGE_INVALID, "the dashboard needs a terminal", hint)
    if environ.get("TERM", "dumb") == "dumb":
        told = "the terminal cannot place text: TERM is not set, or dumb"
        raise Usage(Reason.USAGE_INVALID, told, f"set TERM, for instance to xterm-256color; {other}")


def _tell_textual(colour: bool) -> None:
    """Set or remove NO_COLOR: Textual obeys even an empty one."""
    if colour:
        os.environ.pop("NO_COLOR", None)
    else:
        os.environ["NO_COLOR"] = "1"


def _first(parts: Reading) -> Snapshot:
    """The first snapshot: the Status that a running agent of this version has published, because it needs no
    waiting."""
    from reconciler.monitor.snapshot import Snapshot

    now, settings = time.time(), parts.settings
    unknown = Snapshot(now, settings.host, settings.source.interval)
    known = files.read(parts.state / STATUS_FILE) if holder(parts.state) is not None else {}
    if known.get("kind") != "Status" or (known.get("agent") or {}).get("version") != __version__:
        return unknown
    try:
        heartbeat = (parts.state / TURN_FILE).stat().st_mtime
    except OSError:
        return unknown
    return replace(unknown, status=known, heartbeat=heartbeat)


def _alerts(state: Path, snapshot: Snapshot) -> tuple[Alert, ...]:
    """The alerts that the monitor has published; none if no monitor runs."""
    try:
        _, document = alerts.show(state, snapshot.at)
    except Transient:
        return ()
    return tuple(read(document))


def _newest(view: View, since: float | None) -> Iterable[Json]:
    return map(log_line, view.reader().shown(Wanted(since=since, tail=EACH, longest=ON_SCREEN)))


def _follow(view: View, service: str, replaced: bool) -> Iterator[Sequence[Json]]:
    reader = view.reader()
    if replaced:
        parts = reader.parts(Wanted((service,), tail=BEFORE, previous=True, longest=ON_SCREEN))
    else:
        parts = reader.follow(Wanted((service,), tail=BEFORE, longest=ON_SCREEN), LOOK)
    for part in parts:
        yield [log_line(item) for item in part]


def _ask(program: Sequence[str], environ: Mapping[str, str], words: Sequence[str]) -> Json:
    """Run a verb, return its document. Transient if it prints none."""
    done = process.run([*program, *words], env=environ, timeout=LONGEST, reason=Reason.INTERNAL_ERROR)
    try:
        found: Json = json.loads(done.stdout)
    except ValueError:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        told = f"`reconciler {words[0]}` has no answer: {said[-1] if said else f'it ended with {done.returncode}'}"
        raise Transient(Reason.INTERNAL_ERROR, told, "see what it says by hand") from None
    return found
