"""A stack from nothing: the whole process of `once` against the whole process of `up -d --wait`."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.measure import Bar, Side, alternate, compared, timed
from benchmarks.sides import Services, both, services
from tests.conftest import sweep


def run(pairs: int) -> Iterator[Bar]:
    for number, most in ((7, 1.0), (25, 1.2)):
        wanted = services(number)
        mine, other = alternate(_ours(wanted), _theirs(wanted), pairs)
        yield compared(f"cold start, {number} services", mine, other, most)


def _ours(wanted: Services) -> Side:
    def once() -> float:
        with both() as (ours, _):
            return timed(lambda: ours.applied(wanted))

    return once


def _theirs(wanted: Services) -> Side:
    def up() -> float:
        with both() as (ours, theirs):
            theirs.commit(wanted)
            seconds = timed(lambda: (theirs.pull(), theirs.up("--wait")))
            sweep(ours.engine, theirs.project)
            return seconds

    return up
