"""Rollback: from the verdict on a bad commit until last good is proven again, in seconds per switched service.

The time that the engine needs to stop as many of the same containers is measured as well, and added to the bar.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from statistics import median
from typing import Any

from benchmarks.measure import Bar, timed
from benchmarks.sides import Ours, Services, both, changed, services

SWITCHED = 4
LARGE = 57
"""Number of services of the largest public stack that was tried."""

LONGEST = 60.0
"""Most seconds until all of them run as before."""


def run(pairs: int) -> Iterator[Bar]:
    yield from _few(pairs)
    yield _all()


def _all() -> Bar:
    """The rollback of a commit that changes every service of a large stack; the last one fails. Measured once."""
    wanted = services(LARGE)
    with both() as (ours, _):
        ours.applied(wanted)
        bad = {name: {**item, "environment": {"VERSION": "2"}} for name, item in wanted.items()}
        last = f"s{LARGE - 1}"
        others = [f"s{n}" for n in range(LARGE - 1)]
        bad[last] = {**bad[last], "command": ["false"], "restart": "no", "depends_on": others}
        return Bar(f"rollback of all {LARGE} services", "s", _way_back(ours, bad, LARGE), None, LONGEST)


def _few(pairs: int) -> Iterator[Bar]:
    wanted = services(7)
    with both() as (ours, _):
        ours.applied(wanted)
        back, stops = [], []
        for n in range(2, pairs + 2):
            back.append(_way_back(ours, _bad(wanted, str(n))))
            stops.append(_stop(ours))
    bar = 0.6 + median(stops)
    yield Bar(f"rollback, each of {SWITCHED} switched", "s", median(back) / SWITCHED, None, bar)


def _bad(wanted: Services, version: str) -> Services:
    """Services with four changes: the three of a chain and one more. The last of the four exits at once."""
    for name in ("s0", "s1", "s2", "s3"):
        wanted = changed(wanted, name, version)
    return {**wanted, "s3": {**wanted["s3"], "command": ["false"], "restart": "no"}}


def _way_back(ours: Ours, bad: Services, switched: int = SWITCHED) -> float:
    sha = ours.commit(bad)
    answer = ours.once()
    assert answer["outcome"] == "RolledBack", answer.document
    own = [item for item in ours.records() if item.get("revision") == sha]
    quarantined, ended = (next(item for item in own if item["kind"] == kind) for kind in ("condemned", "ended"))
    done = [item for item in ended["services"] if item["action"] != "Unchanged"]
    assert len(done) == switched, done
    return _moment(ended) - _moment(quarantined)


def _stop(ours: Ours) -> float:
    """Seconds that the engine needs to stop one such container. The container is started again afterwards."""
    name = f"{ours.stack}-s6-1"
    seconds = timed(lambda: ours.engine.stop(name))
    ours.engine.start(name)
    return seconds


def _moment(record: dict[str, Any]) -> float:
    return datetime.fromisoformat(record["at"]).timestamp()
