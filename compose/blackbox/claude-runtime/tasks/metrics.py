"""The metrics at /metrics."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence

from serving import family, label

from tasks.task import ENDED, QUEUED, RUNNING, Task


class Totals:
    """Counters of the attempts that ended since the worker started. The threads of tasks write, the server's reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._attempts: Counter[str] = Counter()
        self._seconds = self._usd = 0.0
        self._untold = 0

    def add(self, task: Task) -> None:
        """Count an attempt. `task`: its state at the end of the attempt."""
        with self._lock:
            self._attempts[task.status] += 1
            self._seconds += max(0.0, task.ended - task.started) if task.started else 0.0
            self._usd += task.spent or 0.0
            self._untold += task.spent is None

    def render(self, tasks: Sequence[Task], ready: bool, now: float) -> str:
        """`tasks`: all stored tasks. `ready`: whether there is a key."""
        with self._lock:
            return "\n".join(self._lines(tasks, ready, now)) + "\n"

    def _lines(self, tasks: Sequence[Task], ready: bool, now: float) -> Iterator[str]:
        there = Counter(task.status for task in tasks)
        kept = {label("status", name): there[name] for name in (QUEUED, RUNNING, *sorted(ENDED))}
        yield from family("claude_tasks", "gauge", "Tasks that are kept, by status", kept)
        waits = max((now - task.created for task in tasks if task.status == QUEUED), default=0.0)
        yield from family("claude_oldest_queued_seconds", "gauge", "How long the oldest queued task waits", {"": waits})
        yield from family("claude_ready", "gauge", "1 while there is a key, so that tasks may run", {"": int(ready)})
        ended = {label("status", name): self._attempts[name] for name in sorted(ENDED)}
        yield from family("claude_attempts_total", "counter", "Attempts that ended since the worker began", ended)
        about = "Time of all attempts since the worker began"
        yield from family("claude_attempt_seconds_total", "counter", about, {"": self._seconds})
        about = "What all attempts since the worker began have cost, as far as they told"
        yield from family("claude_cost_usd_total", "counter", about, {"": self._usd})
        about = "Attempts since the worker began that were killed before they could tell their cost"
        yield from family("claude_cost_unknown_total", "counter", about, {"": self._untold})
