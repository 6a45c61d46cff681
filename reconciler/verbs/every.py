"""A timer in a thread of its own, which runs while the acting thread is blocked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from reconciler.log import logger


class Every:
    """Within this context, `what` is called every `seconds` in a thread of its own; errors are logged."""

    def __init__(self, seconds: float, what: Callable[[], None]) -> None:
        self._seconds, self._what = seconds, what
        self._done = threading.Event()

    def __enter__(self) -> Every:
        threading.Thread(target=self._run, daemon=True, name="every").start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()

    def _run(self) -> None:
        while not self._done.wait(self._seconds):
            try:
                self._what()
            except Exception as error:
                logger.opt(exception=error).error("cannot look after the turn: {}", error)
