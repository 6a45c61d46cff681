"""A turn about a commit that changes nothing on the machine, with 10 and with 10,000 commits in the repository."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.measure import Bar, Side, alternate, compared, timed
from benchmarks.sides import Ours, both, services

SLACK = 1.2
"""The cost must be equal. On a machine that is not idle, two medians of equal work differ by up to this factor."""

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
    """Seconds of `once` for a new commit. It changes a file that no service uses."""
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
        # The commits are ten minutes apart, and older than every pushed commit. git walks by date: with equal dates it
        # would walk through the whole history.
        lines += [b"commit refs/heads/main"]
        lines += [b"committer A Person <person@example.org> %d +0100" % (PUSHED - 600 * (commits - n))]
        lines += [b"data 1", b"x", b"M 100644 inline notes/%d" % (n % 41), b"data %d" % len(text), text]
    host.repository.git("fast-import", "--quiet", stdin=b"\n".join(lines) + b"\n")
