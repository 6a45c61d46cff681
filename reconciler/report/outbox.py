"""The outbox of an acting process: a thread beside the acting one, which lives only while a message is pending."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from reconciler.log import logger
from reconciler.model.history import History
from reconciler.report.delivery import Delivery

PATIENCE = 5.0
"""Seconds that the end of a process waits for pending messages."""

HURRY = 1.0
"""The same after a signal, because ten seconds must be enough for everything."""

SOON = 5.0
"""Seconds. Messages that are due within this time are delivered before the agent starts anew."""


class Outbox:
    """Within this context, messages are delivered. It never blocks the thread that calls it.

    `stop`: set when the process was asked to end.
    """

    def __init__(self, delivery: Delivery, stop: threading.Event) -> None:
        self._delivery, self._stop = delivery, stop
        self._changed, self._one = threading.Condition(), threading.Lock()
        self._history: History | None = None
        self._thread: threading.Thread | None = None
        self._closing = False
        self._next: float | None = None
        self.worked = False
        """Whether the client of a forge was loaded, which takes memory that only a start anew frees."""

    def __enter__(self) -> Outbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify()
            thread = self._thread
        end = time.monotonic() + (HURRY if self._stop.is_set() else PATIENCE)
        while thread is not None and thread.is_alive() and time.monotonic() < end:
            if self._stop.is_set():
                end = min(end, time.monotonic() + HURRY)
            thread.join(0.1)

    def hear(self, history: History) -> None:
        """Pass the present history."""
        with self._changed:
            if history is self._history or self._closing:
                return
            self._history, self._next = history, 0.0
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True, name="outbox")
                self._thread.start()
            self._changed.notify()

    @property
    def busy(self) -> bool:
        """Whether a message is being delivered, or will be in a moment."""
        with self._changed:
            return self._thread is not None and self._next is not None and self._next <= SOON

    @contextmanager
    def resting(self) -> Iterator[None]:
        """No delivery runs within this context, unless one takes longer than PATIENCE."""
        got = self._one.acquire(timeout=PATIENCE)
        try:
            yield
        finally:
            if got:
                self._one.release()

    def _run(self) -> None:
        while True:
            with self._changed:
                history = self._history
            wait = self._step(history)
            with self._changed:
                if history is not self._history:
                    continue
                self._next = wait
                if wait is None or (self._closing and wait > 0):
                    self._thread = None
                    return
                if wait > 0:
                    self._changed.wait(wait)

    def _step(self, history: History | None) -> float | None:
        """An error of this program ends only this thread's step."""
        if history is None:
            return None
        try:
            with self._one:
                return self._delivery.step(history)
        except Exception as error:
            logger.opt(exception=error).error("report: {}", error)
            return 600.0
