"""The adapters for logs: for `logs`, for the monitor, and for code that removes containers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from reconciler.decide.redact import Redactor
from reconciler.errors import ReconcilerError
from reconciler.log import logger
from reconciler.model.documents import LogBounds
from reconciler.model.logs import LogLine
from reconciler.model.observed import Container
from reconciler.record.log_archive import LogArchive
from reconciler.verbs.log_keeper import LogKeeper
from reconciler.verbs.logs import Logs, masked
from reconciler.wiring.reading import Reading

FOLDER = "logs"


def logs_of(parts: Reading, redactor: Redactor) -> Logs:
    """The reader of logs, for `logs`, the monitor and the dashboard."""
    from reconciler.observe.logs import ContainerLog
    from reconciler.wiring.showing import facts

    shown = facts(parts)
    known = shown.desired.services() if shown.desired else ()

    def containers() -> tuple[Container, ...]:
        return parts.status.containers(shown)

    open_log = partial(ContainerLog, parts.client, address=parts.engine)
    return Logs(containers, frozenset(known), open_log, LogArchive(parts.state / FOLDER), redactor.clean_lines)


def keeper(parts: Reading, redactor: Redactor) -> LogKeeper:
    """The keeper of logs, for code that removes containers."""
    from reconciler.observe.logs import ContainerLog

    def read(container: Container, lines: int) -> Iterator[LogLine]:
        return masked(ContainerLog(parts.client, container, tail=lines, address=parts.engine), redactor.clean_lines)

    return LogKeeper(_inspect(parts), read, LogArchive(parts.state / FOLDER, partial(_bounds, parts)))


def _bounds(parts: Reading) -> LogBounds:
    """Bounds in the last good commit; the defaults while there is no such commit."""
    from reconciler.wiring.showing import document_at, facts

    good = facts(parts).history.last_good
    try:
        found = document_at(parts, good.revision) if good and good.revision else None
    except ReconcilerError as error:
        logger.warning("logs are kept with the usual bounds: {}", error.message)
        found = None
    return found.logs if found else LogBounds()


def _inspect(parts: Reading) -> Callable[[str], Container | None]:
    def inspect(container: str) -> Container | None:
        return next(iter(parts.observer.details([container]).values()), None)

    return inspect
