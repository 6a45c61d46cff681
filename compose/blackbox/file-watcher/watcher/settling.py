"""Debouncing: a change counts once it has stayed as it is for a moment, or has gone on for long enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from watcher.scanning import Signature

Change = Signature | None
"""What a file became; None: it is gone."""


@dataclass(slots=True)
class _Seen:
    change: Change
    first: float
    since: float


class Settling:
    """Times in seconds, on a clock that is only ever compared with itself: those of files may be of another machine."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._seen: dict[str, _Seen] = {}

    def settled(self, changes: Mapping[str, Change], now: float, quiet: Callable[[str], float]) -> list[str]:
        """The paths that can be acted on. `changes`: all that differ now. `quiet`: how long a path has to stay as it
        is; a path that goes on changing is taken after `longest` all the same, but not before `quiet`."""
        seen = {}
        for path, change in changes.items():
            item = self._seen.get(path) or _Seen(change, now, now)
            if item.change != change:
                item.change, item.since = change, now
            seen[path] = item
        ready = [
            path
            for path, item in seen.items()
            if now - item.since >= quiet(path) or now - item.first >= max(self._longest, quiet(path))
        ]
        # What differs again later begins anew.
        done = set(ready)
        self._seen = {path: item for path, item in seen.items() if path not in done}
        return ready
