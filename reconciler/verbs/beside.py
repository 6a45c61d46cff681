"""Runs work in a second thread, so that a step does not wait for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from reconciler.log import logger


@contextlib.contextmanager
def beside(work: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Yields a function that returns at once and lets another thread do `work`.

    Several calls before the work begins count as one. The context ends when all work is done. Errors are logged.
    """
    with ThreadPoolExecutor(1, "beside") as pool:
        last: Future[None] | None = None

        def run() -> None:
            try:
                work()
            except Exception as error:
                logger.opt(exception=error).error("cannot publish a step: {}", error)

        def call() -> None:
            nonlocal last
            if last is None or last.running() or last.done():
                last = pool.submit(run)

        yield call
