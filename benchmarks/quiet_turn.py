"""A turn of the running agent without any work, against `docker compose up -d` without any work."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.measure import Bar, compared, timed
from benchmarks.sides import PROBE, Ours, Theirs, both, services

SELDOM = {**PROBE, "interval": "10m", "start_interval": "1s"}
"""Rare probes: with a hundred containers the usual probes would keep the machine busy."""


class Between:
    """Replaces the agent's alarm: it records the time of each turn, and lets the other side work between two turns."""

    def __init__(self, theirs: Theirs, turns: int) -> None:
        self._theirs, self._turns = theirs, turns
        self.ours: list[float] = []
        self.others: list[float] = []
        self._begun = time.monotonic()

    @property
    def ended(self) -> bool:
        return len(self.ours) == self._turns

    def wait(self, seconds: float) -> None:
        """Called by the agent when a turn has ended."""
        self.ours.append(time.monotonic() - self._begun)
        self.others.append(timed(self._theirs.up))
        self._begun = time.monotonic()


def run(pairs: int) -> Iterator[Bar]:
    for number, most in ((7, 1 / 20), (100, 1 / 15)):
        for kind, probe in (("", PROBE if number == 7 else SELDOM), (", started", None)):
            with both() as (ours, theirs):
                wanted = services(number, probe)
                ours.applied(wanted)
                theirs.commit(wanted)
                theirs.pull()
                theirs.up("--wait")
                yield from _turns(ours, theirs, f"turn, {number} services{kind}", most, pairs)
                if not kind:
                    alone = [timed(ours.once) for _ in range(pairs)]
                    up = [timed(theirs.up) for _ in range(pairs)]
                    yield compared(f"whole `once` process, {number} services", alone, up, None)


def _turns(ours: Ours, theirs: Theirs, name: str, most: float, pairs: int) -> Iterator[Bar]:
    between = Between(theirs, pairs + 1)
    with ours.inside() as verbs:
        verbs.run(between, ours.interval, fresh=True)
    # The first turn of a process is not counted: it reads everything for the first time.
    yield compared(name, between.ours[1:], between.others[1:], most)
