"""What a thread listens to while it waits: long calls ask here whether they are still wanted.

`listening` says what is asked; whoever waits for a program, a container or the engine calls `attend` at least each LOOK
seconds. What that raises ends the wait. Each thread has its own; one that nobody has told anything just waits.
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
    """Nobody has anything to say."""


_asked: ContextVar[Callable[[], None]] = ContextVar("asked", default=_nothing)


@contextmanager
def listening(asked: Callable[[], None]) -> Iterator[None]:
    """While this lasts, waits of this thread ask `asked` and nothing else; it may itself wait, and listen to less."""
    before = _asked.set(asked)
    try:
        yield
    finally:
        _asked.reset(before)


def attend() -> None:
    """Called while waiting. Raises whatever is to end the wait."""
    _asked.get()()


def patiently(work: Callable[[], T], cut: Callable[[], None] = _nothing) -> T:
    """What `work` returns or raises; it runs in a thread of its own, while this one listens.

    Where that ends the wait, `cut` is to end the work; what it cannot end is left to itself.
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
