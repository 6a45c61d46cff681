"""Every change that outlives the process passes `Effects.point` first, so that each can be counted and cut off."""

from __future__ import annotations

import os
import signal


class Effects:
    """Counts effects: calls that change the engine, and files outside caches.

    `crash_at`: the process kills itself (SIGKILL) on reaching this effect, before performing it. For tests only.
    """

    def __init__(self, crash_at: int | None = None) -> None:
        self.count = 0
        self._crash_at = crash_at

    def point(self, name: str) -> None:
        """Announce one effect, just before it happens. `name` says which, for people who read a trace."""
        self.count += 1
        if self.count == self._crash_at:
            os.kill(os.getpid(), signal.SIGKILL)
