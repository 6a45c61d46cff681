"""The outbox of an acting process: a thread beside the acting one, which lives only while a message is pending."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from reconciler.log import logger

PATIENCE = 5.0
"""Seconds that the end of a process waits for pending messages."""

HURRY = 1.0
"""Seconds to wait for a delivery after a signal, because the whole process must end within ten seconds."""

SOON = 5.0
"""Seconds. Messages that are due within this time are delivered before the agent restarts itself."""


T = TypeVar("T")
Told = TypeVar("Told", contravariant=True)


class Steps(Protocol[Told]):
    """Delivers messages, one in each step."""

    def step(self, told: Told, /) -> float | None:
        """Seconds until the next step is useful, 0 for at once; None: not before `told` changes."""


class Outbox(Generic[T]):
    """Within this context, messages are delivered. It never blocks the thread that calls it.

    `stop`: set when the process was asked to end. `soon`: it is `busy` if a message is due within so many seconds.
    """

    def __init__(self, delivery: Steps[T], stop: threading.Event, soon: float = SOON) -> None:
        self._delivery, self._stop, self._soon = delivery, stop, soon
        self._changed, self._one = threading.Condition(), threading.Lock()
        self._told: T | None = None
        self._thread: threading.Thread | None = None
        self._closing = False
        self._next: float | None = None
        self.worked = False
        """Whether the client of a forge was loaded, whose memory only a restart of the process frees."""

    def __enter__(self) -> Outbox[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        end([self], self._stop)

    def close(self) -> None:
        """Deliver only what is due now; later calls of `hear` have no effect."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def join(self, seconds: float) -> bool:
        """Wait up to so many seconds for the delivery; whether it still goes on."""
        with self._changed:
            thread = self._thread
        if thread is not None:
            thread.join(seconds)
        return thread is not None and thread.is_alive()

    def hear(self, told: T) -> None:
        """Pass the present facts."""
        with self._changed:
            if told is self._told or self._closing:
                return
            self._told, self._next = told, 0.0
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True, name="outbox")
                self._thread.start()
            self._changed.notify()

    @property
    def busy(self) -> bool:
        """Whether a message is being delivered, or will be in a moment."""
        with self._changed:
            return self._thread is not None and self._next is not None and self._next <= self._soon

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
                told = self._told
            wait = self._step(told)
            with self._changed:
                if told is not self._told:
                    continue
                self._next = wait
                if wait is None or (self._closing and wait > 0):
                    self._thread = None
                    return
                if wait > 0:
                    self._changed.wait(wait)
                    self._next = 0.0

    def _step(self, told: T | None) -> float | None:
        """An error of this program ends only this thread's step."""
        if told is None:
            return None
        try:
            with self._one:
                return self._delivery.step(told)
        except Exception as error:
            logger.opt(exception=error).error("report: {}", error)
            return 600.0


def end(outboxes: Sequence[Outbox[Any]], stop: threading.Event) -> None:
    """Close all of them, then wait for all together."""
    for outbox in outboxes:
        outbox.close()
    latest = time.monotonic() + (HURRY if stop.is_set() else PATIENCE)
    while any(outbox.join(0.05) for outbox in outboxes) and time.monotonic() < latest:
        if stop.is_set():
            latest = min(latest, time.monotonic() + HURRY)
