"""Two times from a `git push` to a local repository: until the agent has recorded the new head, and until the first
step of the rollout. With and without our hooks in the repository.

They begin when git has written the ref. Between the two records the agent reads the commit, Compose renders it, and it
is judged, compared and planned. A push through our hooks takes longer before its ref is written, and the agent loads
the modules that a commit needs meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median

from benchmarks.measure import Bar
from benchmarks.sides import MEMORY, NO_GATE, Ours, both, changed, services, wait_until
from reconciler.model.times import instant
from tests.e2e.pusher import Pusher
from tests.hooks.tool import git


def run(pairs: int) -> Iterator[Bar]:
    for hooks, name in ((False, "push"), (True, "hooks: push")):
        seen, stepped = _measured(pairs, hooks)
        yield Bar(f"{name} to the record of the head", "s", median(seen), None, 0.15)
        yield Bar(f"{name} to the first step", "s", median(stepped))


def _measured(pairs: int, hooks: bool) -> tuple[list[float], list[float]]:
    wanted = services(7)
    seen: list[float] = []
    stepped: list[float] = []
    with both() as (ours, _):
        ours.applied(wanted)
        pusher = Pusher.of(ours) if hooks else Pusher(ours)
        git(pusher.clone, "pull", "-q", "origin", "main")
        with ours.agent():
            for version in range(2, pairs + 3):
                change = changed(wanted, "s2", str(version))
                sha = pusher.commit(change, memory=MEMORY, stack={"gate": NO_GATE})
                push = pusher.push(*(["-o", "reconciler.no-wait"] if hooks else []))
                assert push.end() == 0, push.said
                begun = (ours.repository.folder / "refs/heads/main").stat().st_mtime
                wait_until(lambda sha=sha: ours.good() == sha)  # type: ignore[misc]  # a lambda with a default
                seen.append(_at(ours, "seen", sha) - begun)
                stepped.append(_at(ours, "planned", sha) - begun)
                time.sleep(4.0)  # the agent restarts itself after work, so each push meets a new process
    return seen[1:], stepped[1:]  # the first push meets a process that has just started


def _at(ours: Ours, kind: str, sha: str) -> float:
    """Unix seconds of the record of this kind about the commit, or about an attempt at it."""
    attempts = {item["attempt"] for item in ours.records() if item["kind"] == "started" and item["revision"] == sha}
    return next(
        instant(str(item["at"]))
        for item in ours.records()
        if item["kind"] == kind and (item.get("revision") == sha or item.get("attempt") in attempts)
    )
