"""From a push until one changed service of seven is proven, against `git pull` and `up --wait` right after the push."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.measure import Bar, alternate, compared, timed
from benchmarks.sides import Ours, both, changed, services, wait_until


def run(pairs: int) -> Iterator[Bar]:
    wanted = services(7)
    with both() as (ours, theirs):
        ours.applied(wanted)
        theirs.commit(wanted)
        theirs.pull()
        theirs.up("--wait")
        versions = iter(range(2, 1000))

        def we() -> float:
            change = changed(wanted, "s2", str(next(versions)))
            return timed(lambda: _proven(ours, ours.commit(change)))

        def they() -> float:
            change = changed(wanted, "s2", str(next(versions)))
            theirs.commit(change)
            return timed(lambda: (theirs.pull(), theirs.up("--wait")))

        with ours.agent():
            we()
            they()
            mine, other = alternate(we, they, pairs)
    yield compared("push to healthy, 1 of 7", mine, other, 1.0)


def _proven(ours: Ours, sha: str) -> None:
    wait_until(lambda: ours.good() == sha)
