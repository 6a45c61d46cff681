"""A timer in a second thread, so that it also runs while the acting thread is blocked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from reconciler.log import logger


@contextmanager
def every(seconds: float, what: Callable[[], None]) -> Iterator[None]:
    """Within this context, `what` is called every `seconds` in a thread of its own; errors are logged."""
    done = threading.Event()

    def run() -> None:
        while not done.wait(seconds):
            try:
                what()
            except Exception as error:
                logger.opt(exception=error).error("cannot look after the turn: {}", error)

    threading.Thread(target=run, daemon=True, name="every").start()
    try:
        yield
    finally:
        done.set()
