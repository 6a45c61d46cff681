"""What takes time happens in threads, and the terminal program looks at their results. They end with the process."""

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
"""Seconds between two looks for new log lines; longer where a look takes long, so that it is a fifth of the time at
most."""

KEPT = 200
"""Newest lines of all services."""

OVERLAP = 10.0
"""Seconds before the newest known line from which on lines are asked for again: those of several containers come out of
order."""

BEFOREHAND = 2000
"""Lines of a followed log that may wait to be taken."""


@dataclass(frozen=True, slots=True)
class Doors:
    """What the terminal program can ask for. Calls may take long, and may raise ReconcilerError.

    - `follow`: parts of a service's log without an end; True: of its containers before, with one.
    - `ask`: runs a verb of this program, and returns its document, which may be an Error.
    - `ended`: the process was asked to end.
    """

    host: str
    board: Board
    samples: Samples
    follow: Callable[[str, bool], Iterator[Sequence[Json]]]
    ask: Callable[[Sequence[str]], Json]
    ended: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.time


class Newest:
    """The newest lines of all services. `read`: rows of `logs` since a moment (seconds of the Unix epoch; None: a few
    of each service), by time."""

    def __init__(self, read: Callable[[float | None], Iterable[Json]]) -> None:
        self._read = read
        self._last: dict[str, str] = {}
        self.lines: Sequence[Json] = ()
        self.error: str | None = None

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            begun = time.monotonic()
            self.look()
            stop.wait(max(PAUSE, 4 * (time.monotonic() - begun)))

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
        if since is not None and len(self._last) > KEPT:  # of containers that are gone
            self._last = {container: at for container, at in self._last.items() if at >= log_time(since)}


class Follow:
    """One log, as it comes. The reader waits while nobody takes its lines."""

    def __init__(self, read: Callable[[], Iterator[Sequence[Json]]]) -> None:
        self._read, self._closed = read, threading.Event()
        self._rows: deque[Json] = deque()
        self.error: str | None = None
        threading.Thread(target=self._run, name="follow", daemon=True).start()

    def take(self) -> list[Json]:
        """What came since the last call."""
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
    """A verb in its own process. `document` is there once it is done."""

    def __init__(self, work: Callable[[], Json]) -> None:
        self._work, self._unwanted = work, threading.Event()
        self.document: Json | None = None
        self.error: str | None = None
        threading.Thread(target=self._run, name="verb", daemon=True).start()

    @property
    def done(self) -> bool:
        return self.document is not None or self.error is not None

    def drop(self) -> None:
        """End its process, if it is not done."""
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
