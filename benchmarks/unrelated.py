"""`validate` of a commit with 20,000 files that no service uses, against one without such files."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

from benchmarks.measure import Bar, Side, alternate, compared, timed
from benchmarks.sides import Ours, both, services

FILES = 20_000
SLACK = 1.5
"""The cost must be nearly equal. Each name has to be read (8 µs). Writing the files took ten times the rest."""


def run(pairs: int) -> Iterator[Bar]:
    with both() as (many, _), both() as (few, _):
        mine, other = alternate(_judged(many, FILES), _judged(few, 0), pairs)
    yield compared("validate, 20,000 unrelated files", mine, other, SLACK)


def _judged(host: Ours, unrelated: int) -> Side:
    more = {f"docs/{n // 200:03}/page{n}.md": f"page {n}\n" for n in range(unrelated)}
    sha = host.push_files({**host.files(services(1, None)), **more})
    command = host.command("validate", "--commit", sha, "--git-dir", str(host.repository.folder))

    def once() -> float:
        return timed(lambda: subprocess.run(command, check=True, capture_output=True, env=host.environment()))

    return once
