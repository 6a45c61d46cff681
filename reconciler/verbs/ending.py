"""Ends the process in time after a signal, even if a call to the engine takes longer."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from reconciler.errors import Interrupted

PATIENCE = 8.0
"""Seconds from the signal to the end by force; the contract allows ten. A database may take 120 s to stop."""


@contextmanager
def end_in_time(stop: threading.Event, record: Callable[[], None]) -> Iterator[None]:
    """Within this context, the process ends at most PATIENCE seconds after `stop` was set.

    `record` is called before an end by force, which is as safe as a crash: the engine finishes the call by itself.
    """
    done = threading.Event()

    def wait() -> None:
        while not stop.wait(1.0):
            if done.is_set():
                return
        if not done.wait(PATIENCE):
            try:
                record()
            finally:
                os._exit(Interrupted.exit_code)

    threading.Thread(target=wait, daemon=True, name="end in time").start()
    try:
        yield
    finally:
        done.set()
