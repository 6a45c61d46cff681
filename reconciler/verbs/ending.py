"""Ends the process in time after a signal, even if a call to the engine takes longer."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import TracebackType

from reconciler.errors import Interrupted

PATIENCE = 8.0
"""Seconds from the signal to the end by force; the contract allows ten. A database may take 120 s to stop."""


class EndInTime:
    """Within this context, the process ends at most PATIENCE seconds after `stop` was set.

    `record` is called before an end by force, which is as safe as a crash: the engine finishes the call by itself.
    """

    def __init__(self, stop: threading.Event, record: Callable[[], None]) -> None:
        self._stop, self._record = stop, record
        self._done = threading.Event()

    def __enter__(self) -> EndInTime:
        threading.Thread(target=self._wait, daemon=True, name="end in time").start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()

    def _wait(self) -> None:
        while not self._stop.wait(1.0):
            if self._done.is_set():
                return
        if not self._done.wait(PATIENCE):
            try:
                self._record()
            finally:
                os._exit(Interrupted.exit_code)
