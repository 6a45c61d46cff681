"""Threads for slow work. The terminal program reads their results; they end with the process."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from reconciler.errors import ReconcilerError
from reconciler.log import logger
from reconciler.model.logs import NANOSECONDS, log_time, nanoseconds
from reconciler.monitor.samples import Samples
from reconciler.monitor.snapshot import Board
from reconciler.values import dataclass
from reconciler.waiting import listening

Json = Mapping[str, Any]

PAUSE = 1.5
"""Seconds between two looks for new log lines. After a look that took much processor time the pause is longer, so that
looking takes at most a fifth of a processor."""

KEPT = 200
"""Newest lines of all services."""

OVERLAP = 10.0
"""A look asks for lines since so many seconds before the newest known one: lines of several containers come out of
order."""

BEFOREHAND = 2000
"""Lines of a followed log that may wait to be taken."""


@dataclass(frozen=True, slots=True)
class Doors:
    """Functions for the terminal program. They may take long, and may raise ReconcilerError.

    - `follow`: lines of a service's log, without an end; with True those of its replaced containers, which do end.
    - `ask`: runs a verb of this program, and returns its document, which may be an Error.
    - `ended`: whether the process was asked to end.
    """

    host: str
    board: Board
    samples: Samples
    follow: Callable[[str, bool], Iterator[Sequence[Json]]]
    ask: Callable[[Sequence[str]], Json]
    ended: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.time


class Newest:
    """Keeps the newest lines of all services. `read`: rows of `logs` by time, since a moment (seconds of the Unix
    epoch; None: a few lines of each service)."""

    def __init__(self, read: Callable[[float | None], Iterable[Json]]) -> None:
        self._read = read
        self._last: dict[str, str] = {}
        self.lines: Sequence[Json] = ()
        self.error: str | None = None

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            begun = time.thread_time()  # on a busy machine a look lasts long, but costs no more
            self.look()
            stop.wait(max(PAUSE, 4 * (time.thread_time() - begun)))

    def look(self) -> None:
        newest = max(self._last.values(), default="")
        since = nanoseconds(newest) / NANOSECONDS - OVERLAP if newest else None
        try:
            found = [row for row in self._read(since) if row["time"] > self._last.get(row["container"], "")]
        except ReconcilerError as error:
            self.error = error.message
            return
        except Exception as error:
            logger.opt(exception=error).error("dashboard: {}", error)
            self.error = "the log cannot be read"
            return
        self.error = None
        for row in found:
            self._last[row["container"]] = row["time"]
        if found:
            self.lines = (*self.lines, *found)[-KEPT:]
        if since is not None and len(self._last) > KEPT:  # entries of removed containers
            self._last = {container: at for container, at in self._last.items() if at >= log_time(since)}


class Follow:
    """Reads one log in a thread. The thread waits while more than BEFOREHAND lines were not taken."""

    def __init__(self, read: Callable[[], Iterator[Sequence[Json]]]) -> None:
        self._read, self._closed = read, threading.Event()
        self._rows: deque[Json] = deque()
        self.error: str | None = None
        threading.Thread(target=self._run, name="follow", daemon=True).start()

    def take(self) -> list[Json]:
        """The lines since the last call."""
        return [self._rows.popleft() for _ in range(len(self._rows))]

    def close(self) -> None:
        self._closed.set()

    def _run(self) -> None:
        try:
            for part in self._read():
                self._rows.extend(part)
                while len(self._rows) > BEFOREHAND and not self._closed.wait(0.1):
                    pass
                if self._closed.is_set():
                    return
        except ReconcilerError as error:
            self.error = f"{error.message}. {error.hint}"
        except Exception as error:
            logger.opt(exception=error).error("dashboard: {}", error)
            self.error = f"the log cannot be read: {error}"


class _Unwanted(Exception):
    """Ends a job whose answer nobody waits for."""


class Job:
    """Runs a verb in a process of its own. `document`: its result, None until it is done."""

    def __init__(self, work: Callable[[], Json]) -> None:
        self._work, self._unwanted = work, threading.Event()
        self.document: Json | None = None
        self.error: str | None = None
        threading.Thread(target=self._run, name="verb", daemon=True).start()

    @property
    def done(self) -> bool:
        return self.document is not None or self.error is not None

    def drop(self) -> None:
        """End the process, if it still runs."""
        self._unwanted.set()

    def _run(self) -> None:
        try:
            with listening(self._attend):
                self.document = self._work()
        except _Unwanted:
            return
        except ReconcilerError as error:
            self.error = f"{error.message}. {error.hint}"
        except Exception as error:
            logger.opt(exception=error).error("dashboard: {}", error)
            self.error = f"{type(error).__name__}: {error}"

    def _attend(self) -> None:
        if self._unwanted.is_set():
            raise _Unwanted
