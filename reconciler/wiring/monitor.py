"""The adapters of `monitor`. Nothing here can change the machine: it wakes the agent, and writes samples, alerts and
metrics into files."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.decide.redact import Redactor
from reconciler.errors import ReconcilerError, Usage
from reconciler.later import extra
from reconciler.log import logger
from reconciler.model.alerts import FILE, Alert, AlertRule
from reconciler.model.measures import Usage as Used
from reconciler.model.outcome import Reason
from reconciler.observe.alarm import WAKE
from reconciler.output import masked
from reconciler.ownership import SECRET
from reconciler.record.summary_alerts import alerts as document
from reconciler.record.summary_alerts import read
from reconciler.record.summary_logs import log_line
from reconciler.settings import MonitorSettings
from reconciler.token_file import read_token_file
from reconciler.verbs import files
from reconciler.verbs.alerts import tested
from reconciler.verbs.logs import LOOK, ON_SCREEN, Logs, Wanted
from reconciler.wiring.logs import logs_of
from reconciler.wiring.reading import TURN_FILE, Reading
from reconciler.wiring.showing import facts

if TYPE_CHECKING:
    from reconciler.model.endpoints import Watched
    from reconciler.model.history import History
    from reconciler.model.observed import Container
    from reconciler.monitor.alerts import Alerts
    from reconciler.monitor.collector import Recent, Sources, Watch
    from reconciler.monitor.prober import Ask
    from reconciler.monitor.snapshot import Json, Snapshot
    from reconciler.monitor.web import LogQuery, Reads

SAMPLES = "samples.json"

Tell = Callable[[str], None]
Heard = Callable[[str, str], None]

EXTRA = f"{extra('monitor')} installs what it needs"


def monitor(parts: Reading, redactor: Redactor, stop: threading.Event, textfile: str | None, tell: Tell) -> None:
    """Serve until `stop` is set. `textfile`: a folder into which the metrics are also written as a file."""
    try:
        from reconciler.monitor import server
        from reconciler.monitor.alerts import Alerts
        from reconciler.monitor.collector import Collector
        from reconciler.monitor.prober import Prober
        from reconciler.monitor.samples import Samples
        from reconciler.monitor.snapshot import Board, Snapshot
        from reconciler.monitor.web import Web
        from reconciler.monitor.webhooks import Webhooks
    except ImportError as error:
        told = f"the monitor cannot be loaded: {error}"
        raise Usage(Reason.USAGE_INVALID, told, EXTRA) from error
    settings = parts.settings
    host, port = settings.monitor.address
    secrets = {forge: partial(secret_of, path, redactor.register) for forge, path in settings.monitor.webhooks.items()}
    for secret in (*secrets.values(), *([_token(settings.monitor, redactor)] if settings.monitor.token_file else ())):
        secret()  # a mistake must be reported now, not at the first request
    view = View(parts, redactor, stop)
    samples = Samples.load(parts.state / SAMPLES, time.time())
    board = Board(Snapshot(time.time(), settings.host, settings.source.interval))
    place = server.listen(host, port)
    after = partial(_write, Path(textfile)) if textfile else lambda snapshot: None
    alerts = partial(_alerts, view, parts, Alerts(samples, read(files.read(parts.state / FILE))), redactor)
    prober = Prober(lambda: board.newest, _asker())
    collector = Collector(view.sources(), board, samples, alerts, after, lambda: prober.checks)
    thread = threading.Thread(target=collector.run, args=(stop,), name="collector", daemon=True)
    thread.start()
    threading.Thread(target=prober.run, args=(stop,), name="prober", daemon=True).start()
    web = Web(board, samples, view.reads(), Webhooks(secrets, partial(wake, parts.state / "requests")), stop.is_set)
    token = _token(settings.monitor, redactor) if settings.monitor.token_file else lambda: None
    tell(f"listening on http://{settings.monitor.listen}")
    try:
        server.serve(web.application(token), place, stop)
    finally:
        stop.set()
        thread.join(timeout=5)
        samples.save(parts.state / SAMPLES)


def _asker() -> Ask:
    """A function that asks endpoints. It trusts the machine's certificate authorities and those of $SSL_CERT_FILE."""
    import ssl

    from reconciler.observe.probe import ask

    trust = cache(ssl.create_default_context)
    return lambda questions: ask(questions, trust)


def _alerts(view: View, parts: Reading, alerts: Alerts, redactor: Redactor, snapshot: Snapshot) -> tuple[Alert, ...]:
    """The alerts of a snapshot. They are published for `alerts` and for the agent's notifications."""
    found = alerts.look(snapshot, view.rules(snapshot), tested(parts.state, snapshot.at))
    files.publish(parts.state / FILE, masked(document(found, snapshot.at), redactor))
    return found


class View:
    """Reads for the monitor with the queries of `status`, `history` and `logs`. One thread at a time."""

    def __init__(self, parts: Reading, redactor: Redactor, stop: threading.Event) -> None:
        from reconciler.monitor.collector import Recent

        self._parts, self._redactor, self._stop = parts, redactor, stop
        self._one = threading.RLock()
        self._revision = ""
        self._rules: Mapping[str, AlertRule] = {}
        self._watched: tuple[Watched, ...] = ()
        self._recent: Recent = Recent(parts.observer)
        parts.observer = self._recent  # before `parts.status` is made, which uses it

    def sources(self) -> Sources:
        from reconciler.monitor.collector import Sources
        from reconciler.observe.usage import machine

        parts, settings = self._parts, self._parts.settings
        return Sources(
            host=settings.host,
            interval=settings.source.interval,
            status=self._status,
            watched=lambda: self._watched,
            forget=self._recent.forget,
            history=self._history,
            look=self._look,
            usage=self._usage,
            errors=lambda: self._recent.errors,
            machine=partial(machine, self._places()),
            heard=self._heard,
            journal=parts.state / "journal.jsonl",
            turn=parts.state / TURN_FILE,
        )

    def reads(self) -> Reads:
        from reconciler.monitor.web import Reads

        return Reads(self._history_of, self._logs, self._follow)

    def _status(self) -> tuple[Json, Sequence[Container]]:
        from reconciler.monitor.prober import watched

        with self._one:
            known = facts(self._parts)
            self._watched = watched(known.desired, self._parts.settings.permissions)
            self._redactor.spare(name for _, name in (known.desired.services() if known.desired else ()))
            _, document = self._parts.status.status(known, True)
            return masked(document, self._redactor), self._parts.status.inspected(known)

    def _history(self, limit: int) -> tuple[Json, History]:
        with self._one:
            document = self._history_of(None, limit)
            return document, self._parts.status.past

    def _history_of(self, revision: str | None, limit: int) -> Json:
        with self._one:
            _, document = self._parts.status.history(revision, limit)
            found: Json = masked(document, self._redactor)
            return found

    def rules(self, snapshot: Snapshot) -> Mapping[str, AlertRule]:
        """Bounds of alerts in the last good commit; while it is not known, the bounds that were known before."""
        good = snapshot.past.last_good
        revision = good.revision if good else ""
        if revision and revision != self._revision:
            with self._one:
                self._rules, self._revision = self._read_rules(revision), revision
        return self._rules

    def _read_rules(self, revision: str) -> Mapping[str, AlertRule]:
        from reconciler.wiring.showing import document_at

        try:
            found = document_at(self._parts, revision)
        except ReconcilerError as error:
            logger.warning("monitor: alerts have their usual bounds: {}", error.message)
            return {}
        return found.alerts if found else {}

    def _look(self) -> Sequence[Container]:
        with self._one:
            return self._parts.status.containers(facts(self._parts))

    def _usage(self, containers: Iterable[str]) -> Mapping[str, Used]:
        from reconciler.observe.usage import usage_of

        def stats(container: str) -> Mapping[str, object]:
            found: Mapping[str, object] = self._parts.client.stats(container, stream=False, one_shot=True)
            return found

        self._recent.measured = usage_of(self._parts.engine, containers, stats)
        return self._recent.measured

    def _heard(self, heard: Heard) -> Watch:
        from reconciler.observe.events import EventWatch

        return EventWatch(self._parts.client, self._parts.settings.host, heard)

    def _places(self) -> dict[str, str]:
        """Folder's name → its path, for the disks that are shown."""
        places = {"state": str(self._parts.state)}
        try:
            root = str(self._parts.client.info().get("DockerRootDir") or "")
        except Exception as error:
            logger.debug("monitor: the engine does not say where its data is: {}", error)
            return places
        return {**places, "engine": root} if self._parts.engine.startswith("unix://") and root else places

    # -- logs --------------------------------------------------------------------------------------------------

    def reader(self) -> Logs:
        """A reader of logs that knows the services of the present Status."""
        with self._one:
            return logs_of(self._parts, self._redactor)

    def _logs(self, query: LogQuery) -> Sequence[Json]:
        wanted = Wanted(
            (query.service,), tail=query.tail, pattern=query.pattern, previous=query.previous, longest=ON_SCREEN
        )
        return [log_line(item) for item in self.reader().shown(wanted)]

    def _follow(self, query: LogQuery) -> Iterator[Sequence[Json]]:
        """New log lines from now on, in parts."""
        wanted = Wanted((query.service,), since=time.time(), pattern=query.pattern, longest=ON_SCREEN)
        for part in self.reader().follow(wanted, LOOK):
            if self._stop.is_set():
                return
            yield [log_line(item) for item in part]


def secret_of(path: str, register: Callable[[list[str]], None]) -> str:
    """The content of the operator's file, masked from now on. Usage if it may not be used."""
    text = read_token_file(path, SECRET)
    register([text])
    return text


def wake(folder: Path) -> None:
    """Make a running agent fetch now. If that fails (a full disk), the agent fetches at its usual time."""
    draft = folder / f".{WAKE}.{os.getpid()}"
    try:
        draft.write_bytes(b"")
        draft.replace(folder / WAKE)
    except OSError as error:
        logger.warning("the agent is not woken: {}", error)


def _token(settings: MonitorSettings, redactor: Redactor) -> Callable[[], str]:
    def read() -> str:
        return secret_of(settings.token_file or "", redactor.register)

    return read


def _write(folder: Path, snapshot: Snapshot) -> None:
    """Write the metrics as a file for node_exporter's textfile collector."""
    from reconciler.monitor import metrics

    draft = folder / f".reconciler.{os.getpid()}"
    try:
        draft.write_bytes(metrics.exposition(snapshot, snapshot.at))
        draft.chmod(0o644)
        draft.replace(folder / "reconciler.prom")
    except OSError as error:
        logger.warning("the metrics are not written to {}: {}", folder, error.strerror)
