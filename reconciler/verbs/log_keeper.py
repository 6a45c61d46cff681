"""Keeps the log of a container that will be removed. An error here must not prevent the removal."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from reconciler.errors import ReconcilerError
from reconciler.log import logger
from reconciler.model.logs import LogLine
from reconciler.model.observed import Container
from reconciler.record.log_archive import LogArchive

LINES = 100_000
"""Newest lines of a log that are kept: to read and mask them takes a busy machine some seconds."""

Read = Callable[[Container, int], Iterator[LogLine]]
"""(container, largest number of lines) → the newest lines of its log, masked."""


class LogKeeper:
    """`inspect`: id → container, None if it is gone."""

    def __init__(self, inspect: Callable[[str], Container | None], read: Read, archive: LogArchive) -> None:
        self._inspect, self._read, self._archive = inspect, read, archive

    def keep(self, container: str) -> None:
        try:
            found = self._inspect(container)
            if found is not None and found.stack and found.service and not found.oneoff:
                lines = self._read(found, LINES)
                self._archive.keep((found.stack, found.service), found.number, found.id, lines)
        except (ReconcilerError, OSError) as error:
            logger.warning("the log of container {} is not kept: {}", container[:12], error)
