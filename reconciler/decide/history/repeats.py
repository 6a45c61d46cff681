"""Repeated messages are logged at the first time, after a change, and once a day."""

from __future__ import annotations

from collections.abc import Hashable

DAY = 86_400.0
"""Seconds after which a repeated message is logged again."""


class Repeats:
    """Remembers the last logged message."""

    def __init__(self) -> None:
        self._about: Hashable = None
        self._at = 0.0

    def is_known(self, about: Hashable, now: float) -> bool:
        """Whether this message was logged last, less than a day ago. `now`: monotonic seconds."""
        if about == self._about and now - self._at < DAY:
            return True
        self._about, self._at = about, now
        return False

    def end(self) -> bool:
        """Forget the message. Returns whether there was one."""
        went_on, self._about = self._about is not None, None
        return went_on
