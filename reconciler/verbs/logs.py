"""`logs`: output of services from the engine and from the archive, merged by time. Changes nothing."""

from __future__ import annotations

import difflib
import heapq
import itertools
import queue
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Protocol

from reconciler.errors import Away, NotFound, ReconcilerError
from reconciler.log import logger
from reconciler.model.desired import ServiceKey
from reconciler.model.log_levels import at_least
from reconciler.model.logs import Clean, LogLine, Masking, log_time, nanoseconds, together
from reconciler.model.observed import Container
from reconciler.model.outcome import Reason
from reconciler.record.log_archive import LogArchive
from reconciler.values import dataclass

AT_ONCE = 500
"""Lines that are masked together, and that are printed together."""

PART = 256 << 10
"""Characters after which a part ends before it has AT_ONCE lines: a line may have a million."""

ON_SCREEN = 4000
"""Characters of a line that somebody reads on a page or a screen; the rest is cut."""

LOOK = 1.0
"""Seconds between two looks for new containers while following."""

SETTLE = 0.1
"""Seconds in which lines of several containers are put into order while following."""

WAITING = 10_000
"""Lines that may wait to be shown while following; a long one counts once more for each KILO characters. Then the
engine is not read further: a service that prints faster than somebody reads must not fill the memory."""

KILO = 1000

MASKED = "*** private key ***"


class Log(Protocol):
    def __iter__(self) -> Iterator[LogLine]: ...

    def close(self) -> None: ...


class OpenLog(Protocol):
    """Opens the log of a container; see `observe.logs.ContainerLog`."""

    def __call__(
        self,
        container: Container,
        /,
        *,
        since: str = "",
        until: str = "",
        tail: int | None = None,
        follow: bool = False,
    ) -> Log: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """A query. `names`: STACK or STACK/SERVICE. `since`, `until`: seconds of the Unix epoch. `tail`: number of newest
    lines of each service. `previous`: lines of the container that was replaced last. `level`: only lines of this level
    (one of LEVELS) or a more serious one. `longest`: characters of a line; the rest is cut.
    """

    names: Sequence[str] = ()
    since: float | None = None
    until: float | None = None
    tail: int | None = None
    pattern: re.Pattern[str] | None = None
    previous: bool = False
    level: str | None = None
    longest: int | None = None

    def has(self, service: ServiceKey) -> bool:
        return not self.names or any(name in (service[0], "/".join(service)) for name in self.names)


class Logs:
    """`containers`: returns the present managed ones. `known`: services that can be named although they have no
    container."""

    def __init__(
        self,
        containers: Callable[[], Sequence[Container]],
        known: Collection[ServiceKey],
        open_log: OpenLog,
        archive: LogArchive,
        clean: Clean,
    ) -> None:
        self._containers, self._known, self._open = containers, known, open_log
        self._archive, self._clean = archive, clean

    def shown(self, wanted: Wanted) -> Iterator[LogLine]:
        """The existing lines, by time. NotFound if no stack or service has a wanted name."""
        there = self._containers()
        services = {(item.stack, item.service) for item in there} | set(self._known) | set(self._archive.services())
        for name in wanted.names:
            _check(name, services)
        chosen = sorted(service for service in services if wanted.has(service))
        if wanted.tail is None:
            return _merged(self._sources(chosen, there, wanted))
        newest = (deque(_merged(self._sources([service], there, wanted)), maxlen=wanted.tail) for service in chosen)
        return _merged(newest)

    def parts(self, wanted: Wanted) -> Iterator[Sequence[LogLine]]:
        """The existing lines, in parts that are printed together."""
        return parted(self.shown(wanted))

    def follow(self, wanted: Wanted, patience: float) -> Iterator[Sequence[LogLine]]:
        """The existing lines, then new ones, also of new containers. An empty part means that nothing was printed for a
        moment. `patience`: seconds between two looks for new containers."""
        last: dict[str, str] = {}
        begin = log_time(time.time() if wanted.since is None else wanted.since)
        started = {item.id for item in self._containers()}
        for part in parted(self.shown(wanted)):
            for item in part:
                _note(last, item)
            yield part
        yield from Following(self, wanted, last, started, begin, patience).parts()

    def _sources(
        self, services: Sequence[ServiceKey], there: Sequence[Container], wanted: Wanted
    ) -> Iterator[Iterator[LogLine]]:
        since = "" if wanted.since is None else log_time(wanted.since)
        until = "" if wanted.until is None else log_time(wanted.until)
        for service in services:
            if wanted.previous:
                files = self._archive.previous(service)
            elif wanted.since is not None or wanted.until is not None:
                files = self._archive.files(service, wanted.since or 0.0)
            else:
                files = ()
            for path in files:
                kept = (
                    item
                    for item in self._archive.read(path)
                    if since <= item.time and (not until or item.time <= until)
                )
                yield self._clean_lines(kept, wanted)
        if wanted.previous:
            return
        tail = wanted.tail if wanted.pattern is None and wanted.level is None else None
        for container in there:
            if (container.stack, container.service) in services:
                yield self._clean_lines(self._open(container, since=since, until=until, tail=tail), wanted)

    def _clean_lines(self, lines: Iterable[LogLine], wanted: Wanted, at_once: int = AT_ONCE) -> Iterator[LogLine]:
        found, pattern = masked(lines, self._clean, at_once), wanted.pattern
        if wanted.level is not None:
            found = at_least(found, wanted.level)
        if pattern is not None:
            found = (item for item in found if pattern.search(item.line))
        return found if wanted.longest is None else (_cut(item, wanted.longest) for item in found)

    # -- for those who follow ----------------------------------------------------------------------------------

    def running(self, wanted: Wanted) -> Sequence[Container]:
        return [item for item in self._containers() if wanted.has((item.stack, item.service))]

    def live(self, container: Container, since: str, wanted: Wanted) -> tuple[Log, Iterator[LogLine]]:
        log = self._open(container, since=since, follow=True)
        return log, self._clean_lines(log, wanted, 1)


class Following:
    """Reads each running container in a thread. The thread that calls `parts` starts and ends them.

    `last`: container → newest time of its shown lines. `started`: containers that existed before; those without a line
    in `last` are shown from the time `begin` on. All other containers are shown from their first line on.
    """

    def __init__(
        self, logs: Logs, wanted: Wanted, last: dict[str, str], started: Collection[str], begin: str, patience: float
    ) -> None:
        self._logs, self._wanted, self._last, self._started = logs, wanted, last, started
        self._begin, self._patience = begin, patience
        self._lines = _Waiting(WAITING)
        self._ended = threading.Event()
        self._live: dict[str, tuple[Log, threading.Thread]] = {}
        self._ran: set[str] = set()

    def parts(self) -> Iterator[Sequence[LogLine]]:
        looked_at = 0.0
        try:
            while True:
                if time.monotonic() - looked_at >= self._patience:
                    self._look()
                    looked_at = time.monotonic()
                yield self._next_part()
        finally:
            self._ended.set()
            for log, _ in self._live.values():
                log.close()

    def _next_part(self) -> Sequence[LogLine]:
        try:
            found = [self._lines.get(timeout=self._patience / 2)]
        except queue.Empty:
            return ()
        until = time.monotonic() + SETTLE
        while (left := until - time.monotonic()) > 0 and len(found) < AT_ONCE:
            try:
                found.append(self._lines.get(timeout=left))
            except queue.Empty:
                break
        by_container = itertools.groupby(sorted(found, key=lambda item: item.container), lambda item: item.container)
        return list(_merged([iter(list(group)) for _, group in by_container]))

    def _look(self) -> None:
        try:
            there = self._logs.running(self._wanted)
        except Away as error:
            logger.debug("logs: {}", error.message)
            return
        for item in there:
            alive = item.id in self._live and self._live[item.id][1].is_alive()
            # A container that has ended is read once more: it may have printed since the last look.
            unread = (
                item.running or item.id in self._ran or (item.id not in self._started and item.id not in self._live)
            )
            if not alive and unread:
                self._open(item)
            (self._ran.add if item.running else self._ran.discard)(item.id)

    def _open(self, container: Container) -> None:
        known = self._last.get(container.id)
        since = _next(known) if known else self._begin if container.id in self._started else ""
        log, lines = self._logs.live(container, since, self._wanted)
        thread = threading.Thread(target=self._read, args=(lines,), name=f"log-{container.id[:12]}", daemon=True)
        self._live[container.id] = log, thread
        thread.start()

    def _read(self, lines: Iterator[LogLine]) -> None:
        try:
            for item in lines:
                while not self._put(item):
                    if self._ended.is_set():
                        return
                _note(self._last, item)
        except ReconcilerError as error:
            logger.debug("logs: {}", error.message)

    def _put(self, item: LogLine) -> bool:
        try:
            self._lines.put(item, timeout=self._patience)
        except queue.Full:
            return False
        return True


class _Waiting(queue.Queue[LogLine]):
    """Lines that wait. Its size counts a long line as several."""

    def _init(self, maxsize: int) -> None:
        super()._init(maxsize)
        self._size = 0

    def _qsize(self) -> int:
        return self._size

    def _put(self, item: LogLine) -> None:
        super()._put(item)
        self._size += 1 + len(item.line) // KILO

    def _get(self) -> LogLine:
        item = super()._get()
        self._size -= 1 + len(item.line) // KILO
        return item


def masked(lines: Iterable[LogLine], clean: Clean, at_once: int = AT_ONCE) -> Iterator[LogLine]:
    """The lines of one container without secrets. `at_once`: lines that are read before the first of them is
    returned."""
    masks: dict[str, Masking] = {}
    for part in parted(lines, at_once):
        printed: dict[str, list[str]] = {}
        for item in part:
            printed.setdefault(item.stream, []).append(item.line)
        cleaned = {
            stream: iter(masks.setdefault(stream, Masking(clean, MASKED))(texts)) for stream, texts in printed.items()
        }
        for item in part:
            line = next(cleaned[item.stream])
            yield item if line == item.line else item._replace(line=line)


def parted(lines: Iterable[LogLine], at_once: int = AT_ONCE) -> Iterator[Sequence[LogLine]]:
    """The lines in parts of at most `at_once` lines, and of not much more than PART characters."""
    part, size = [], 0
    for item in lines:
        part.append(item)
        size += len(item.line)
        if len(part) >= at_once or size >= PART:
            yield part
            part, size = [], 0
    if part:
        yield part


def _cut(item: LogLine, longest: int) -> LogLine:
    return item if len(item.line) <= longest else item._replace(line=f"{item.line[:longest]}…")


def _merged(sources: Iterable[Iterable[LogLine]]) -> Iterator[LogLine]:
    keyed = [together(iter(lines)) for lines in sources]
    return (item for _, item in heapq.merge(*keyed, key=itemgetter(0)))


def _note(last: dict[str, str], item: LogLine) -> None:
    """Note the newest time of the container's shown lines. The engine may write a line of stderr before an older one of
    stdout."""
    last[item.container] = max(last.get(item.container, ""), item.time)


def _next(time: str) -> str:
    """The time one nanosecond later."""
    count = nanoseconds(time) + 1
    return f"{log_time(count // 10**9)[:20]}{count % 10**9:09}Z"


def _check(name: str, services: Collection[ServiceKey]) -> None:
    names = {stack for stack, _ in services} | {"/".join(service) for service in services}
    if name in names:
        return
    close = difflib.get_close_matches(name, sorted(names), 1)
    bare = sorted("/".join(service) for service in services if service[1] == name)
    hint = f"did you mean {(bare or close)[0]}?" if bare or close else "`reconciler status` lists stacks and services"
    raise NotFound(Reason.USAGE_INVALID, f"there is no stack or service {name!r}", hint)
