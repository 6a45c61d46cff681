"""A journal of 50,000 attempts with all their records: folding it, and `status`, which has to read it first."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.measure import Bar, timed
from reconciler.decide.history.folding import Following, fold
from tests.decide.long_journals import applied, journal, refused

ATTEMPTS = 50_000

CONFIG = """\
host: mini
state: {folder}/state
source: {{url: "{folder}/origin.git", branch: main}}
"""


def run(pairs: int) -> Iterator[Bar]:
    records = list(journal(applied, ATTEMPTS))
    yield Bar("fold, 50,000 attempts", "s", median(timed(lambda: fold(records)) for _ in range(pairs)), None, 1.0)
    following = Following()
    following.take(records)
    again = median(timed(lambda: following.take(records)) for _ in range(pairs))
    yield Bar("fold, nothing added", "s", again, None, 0.001)
    with TemporaryDirectory() as name:
        folder = Path(name)
        yield from _status(folder, pairs)


def _status(folder: Path, pairs: int) -> Iterator[Bar]:
    """`status` with a journal that was never compacted: half of the commits are good, half are rejected."""
    (folder / "state").mkdir(mode=0o700)
    (folder / "agent.yaml").write_text(CONFIG.format(folder=folder))
    subprocess.run(["git", "init", "--quiet", "--bare", str(folder / "origin.git")], check=True)
    path = folder / "state/journal.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for n in range(1, ATTEMPTS + 1):
            file.writelines(json.dumps(record) + "\n" for record in (applied, refused)[n % 2](n))
    command = [sys.executable, "-m", "reconciler", "--config", str(folder / "agent.yaml"), "status", "--no-engine"]
    taken = median(timed(lambda: subprocess.run(command, check=False, capture_output=True)) for _ in range(pairs))
    yield Bar(f"status, {path.stat().st_size >> 20} MiB of journal", "s", taken, None, 15.0)
