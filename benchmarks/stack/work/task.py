"""A user who submits headless tasks to claude-runtime, each one when the task before has ended."""

from __future__ import annotations

import json
import time

from benchmarks.stack.load import Load

PROMPT = "Write another note into notes/."
LONGEST = 300.0


def run(load: Load) -> None:
    while not load.pause(5.0):
        begun = time.monotonic()
        task = load.stack.host.exec("claude-runtime-1", f"task submit '{PROMPT}'").split()[-1]
        status = _ended(load, task, begun)
        if status == "succeeded":
            load.counts["tasks succeeded"] += 1
            load.times["claude task"].append(time.monotonic() - begun)
        else:
            load.problems.append(f"task {task} is {status} after {time.monotonic() - begun:.0f} s")


def _ended(load: Load, task: str, begun: float) -> str:
    """The status of a task once it has ended or taken too long. A task that runs at the end of the load may finish."""
    while True:
        told = load.stack.host.exec("claude-runtime-1", f"task result {task} --output json || true")
        status = str(json.loads(told)["status"])
        if status not in ("queued", "running") or time.monotonic() - begun > LONGEST:
            return status
        time.sleep(1.0)
