"""A commit that changes nothing on the machine, in a repository with 10 and in one with 10,000 commits."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.measure import Bar, Side, alternate, compared, timed
from benchmarks.sides import Ours, both, services

SLACK = 1.2
"""Equal cost, but for what two medians of the same thing differ by on a machine that is not idle."""

PUSHED = 1767225600
"""The date of every commit that `tests.repository` makes, in seconds of the Unix epoch."""


def run(pairs: int) -> Iterator[Bar]:
    wanted = services(1, None)
    with both() as (long, _), both() as (short, _):
        for host, commits in ((long, 10_000), (short, 10)):
            _grow(host, commits)
            host.applied(wanted)
        mine, other = alternate(_turn(long), _turn(short), pairs)
    yield compared("turn, 10,000 commits against 10", mine, other, SLACK)


def _turn(host: Ours) -> Side:
    """`once` about a commit that changes a file which no service uses."""
    numbers = iter(range(1000))

    def once() -> float:
        files = {**host.files(services(1, None)), "README": f"{next(numbers)}\n"}
        host.push_files(files)
        return timed(host.once)

    return once


def _grow(host: Ours, commits: int) -> None:
    lines = []
    for n in range(commits):
        text = f"{n}\n".encode()
        # Ten minutes apart, the last one before all that is pushed: git walks by date, and through the whole history
        # where all of it is of one second.
        lines += [b"commit refs/heads/main"]
        lines += [b"committer A Person <person@example.org> %d +0100" % (PUSHED - 600 * (commits - n))]
        lines += [b"data 1", b"x", b"M 100644 inline notes/%d" % (n % 41), b"data %d" % len(text), text]
    host.repository.git("fast-import", "--quiet", stdin=b"\n".join(lines) + b"\n")
