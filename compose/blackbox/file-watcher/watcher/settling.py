"""Debouncing: a change counts when the file has stayed the same for a moment, or has kept changing for too long."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from watcher.scanning import Signature

Change = Signature | None
"""The new signature of a file; None: it is gone."""


@dataclass(slots=True)
class _Seen:
    change: Change
    first: float
    since: float


class Settling:
    """Times are seconds of the caller's clock. Times of files are not used: they may be of another machine's clock."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._seen: dict[str, _Seen] = {}

    def settled(self, changes: Mapping[str, Change], now: float, quiet: Callable[[str], float]) -> list[str]:
        """The paths whose changes count now. `changes`: all files that differ now. `quiet`: seconds that a path has to
        stay the same. A path that keeps changing counts after `longest` seconds, but not before `quiet`."""
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
        # If one of these differs again later, its waiting time begins anew.
        done = set(ready)
        self._seen = {path: item for path, item in seen.items() if path not in done}
        return ready
