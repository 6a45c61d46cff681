"""Makes long waits interruptible: each wait asks a function of its thread whether it should go on.

`listening` sets the function; every wait for a program, a container or the engine calls `attend` at least each LOOK
seconds. If the function raises, the wait ends. Each thread has its own function; a thread without one just waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Generic, TypeVar

LOOK = 0.25
"""Seconds, at most, between two calls of `attend`."""

T = TypeVar("T")


def _nothing() -> None:
    """Never ends a wait."""


_asked: ContextVar[Callable[[], None]] = ContextVar("asked", default=_nothing)


@contextmanager
def listening(asked: Callable[[], None]) -> Iterator[None]:
    """Within this context, waits of this thread call `asked` and nothing else; `asked` may itself wait with another
    function."""
    before = _asked.set(asked)
    try:
        yield
    finally:
        _asked.reset(before)


def attend() -> None:
    """Called while waiting. Raises if the wait must end."""
    _asked.get()()


def patiently(work: Callable[[], T], cut: Callable[[], None] = _nothing) -> T:
    """Return what `work` returns or raises; it runs in a thread of its own, while this one can be interrupted.

    If the wait is ended, `cut` must end the work; if it cannot, the work goes on by itself.
    """
    job = _Job(work)
    threading.Thread(target=job.run, daemon=True, name="patience").start()
    try:
        while not job.done.wait(LOOK):
            attend()
    except BaseException:
        cut()
        raise
    return job.result()


class _Job(Generic[T]):
    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._answer: list[T] = []
        self._error: BaseException | None = None
        self.done = threading.Event()

    def run(self) -> None:
        try:
            self._answer.append(self._work())
        except BaseException as error:
            self._error = error
        finally:
            self.done.set()

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._answer[0]
