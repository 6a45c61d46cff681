"""What goes on and on is logged when it begins, when it changes, and once a day."""

from __future__ import annotations

from collections.abc import Hashable

DAY = 86_400.0
"""Seconds after which what still goes on is told again."""


class Repeats:
    """Remembers what was told last."""

    def __init__(self) -> None:
        self._about: Hashable = None
        self._at = 0.0

    def is_known(self, about: Hashable, now: float) -> bool:
        """Whether just this was told last, less than a day ago. `now`: monotonic seconds."""
        if about == self._about and now - self._at < DAY:
            return True
        self._about, self._at = about, now
        return False

    def end(self) -> bool:
        """It is over. Whether anything went on."""
        went_on, self._about = self._about is not None, None
        return went_on
