"""The metrics, and the answer to the health check."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

_HELP = {
    "watcher_files": "Files whose text brain-api has",
    "watcher_pending": "Changes that brain-api has not acknowledged yet",
    "watcher_skipped": "Files that are not taken, by reason",
    "watcher_unread_folders": "Folders that cannot be listed; nothing in them is taken for gone",
    "watcher_scan_seconds": "Duration of the last look at all files",
    "watcher_brain_up": "1 where brain-api took the last request",
    "watcher_events": "1 where the kernel tells of changes; 0: they are found by looking alone",
    "watcher_turn_age_seconds": "Since the last turn ended",
    "watcher_ingested_total": "Files taken in",
    "watcher_deleted_total": "Files removed",
    "watcher_failures_total": "Requests that brain-api did not take",
}


@dataclass(slots=True)
class Measured:
    """Written by the watcher's thread, read by the server's. `denied`: why the key is of no use, or ''."""

    gauges: dict[str, float] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    totals: Counter[str] = field(default_factory=Counter)
    denied: str = ""
    turned: float = field(default_factory=time.monotonic)
    clock: Callable[[], float] = time.monotonic

    def problem(self, patience: float = 300.0) -> str:
        """Why a restart or a person is needed, or ''. An outage of brain-api is no reason.

        `patience`: seconds without progress after which a restart is needed.
        """
        age = self.clock() - self.turned
        if age > patience:
            return f"no turn for {age:.0f} s"
        return self.denied

    def text(self) -> str:
        gauges = {**self.gauges, "watcher_turn_age_seconds": round(self.clock() - self.turned, 3)}
        lines = [f"{name} {value}" for name, value in sorted(gauges.items())]
        lines += [f'watcher_skipped{{reason="{reason}"}} {count}' for reason, count in sorted(self.skipped.items())]
        lines += [f"{name} {self.totals[name]}" for name in _HELP if name.endswith("_total")]
        return "".join(_described(lines))


def _described(lines: list[str]) -> list[str]:
    told, described = set(), []
    for line in lines:
        name = line.partition(" ")[0].partition("{")[0]
        if name not in told:
            told.add(name)
            kind = "counter" if name.endswith("_total") else "gauge"
            described.append(f"# HELP {name} {_HELP[name]}\n# TYPE {name} {kind}\n")
        described.append(line + "\n")
    return described
