"""Two times from the end of a push to a local repository: until the record of the new head, and of the first step.

Between these records the agent reads the commit, Compose renders it, and it is judged, compared and planned.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median

from benchmarks.measure import Bar
from benchmarks.sides import Ours, both, changed, services, wait_until


def run(pairs: int) -> Iterator[Bar]:
    wanted = services(7)
    seen: list[float] = []
    stepped: list[float] = []
    with both() as (ours, _):
        ours.applied(wanted)
        with ours.agent():
            for version in range(2, pairs + 3):
                sha = ours.commit(changed(wanted, "s2", str(version)))
                pushed = time.monotonic()
                seen.append(_until(ours, pushed, "seen", sha))
                stepped.append(_until(ours, pushed, "planned", sha))
                wait_until(lambda sha=sha: ours.good() == sha)  # type: ignore[misc]  # a lambda with a default
                time.sleep(3.0)  # the agent restarts itself after work, so most pushes meet a new process
    # The first push is not counted: it meets a process that has just started.
    yield Bar("push seen, to the record of the head", "s", median(seen[1:]), None, 0.15)
    yield Bar("push seen, to the first step", "s", median(stepped[1:]))


def _until(ours: Ours, begun: float, kind: str, sha: str) -> float:
    wait_until(lambda: any(item["kind"] == kind and sha in _names(ours, item) for item in ours.records()))
    return time.monotonic() - begun


def _names(ours: Ours, item: dict[str, object]) -> tuple[object, ...]:
    """The shas that a record is about: its own, and that of the first record of its attempt."""
    attempt = next((known for known in ours.records() if known.get("attempt") == item.get("attempt")), {})
    return item.get("revision"), attempt.get("revision")
