"""Every lasting change calls `Effects.point` first, so that tests can count changes and kill the process at one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable


def kill_self() -> None:
    """End as if the power had failed: nothing is flushed, no handler runs."""
    os.kill(os.getpid(), signal.SIGKILL)


class Effects:
    """Counts effects: calls that change the engine, and files outside caches.

    `crash_at`: at this effect, before performing it, `crash` is called. For tests only.
    """

    def __init__(self, crash_at: int | None = None, crash: Callable[[], None] = kill_self) -> None:
        self.count = 0
        self._crash_at = crash_at
        self._crash = crash

    def point(self, name: str) -> None:
        """Announce one effect, just before it happens. `name`: for people who read a trace."""
        self.count += 1
        if self.count == self._crash_at:
            self._crash()
