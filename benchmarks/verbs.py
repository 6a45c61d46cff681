"""Processor time of short verbs, of the whole process with its children. Hooks cost this on each commit and push.

The smallest of all runs counts, because other programs on the machine only add to it.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.measure import Bar
from benchmarks.sides import compose_command

ROOT = Path(__file__).resolve().parent.parent
FILE = "compose/shop/compose.yaml"


def run(pairs: int) -> Iterator[Bar]:
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        state = ["--state", f"{folder}/state"]
        config = Path(folder, "reconciler.yaml")
        config.write_text(f"host: mini\nsource: {{url: {ROOT}}}\nstate: {folder}/agent\n", "utf-8")
        status = ["--config", str(config), "status", "--no-engine"]
        for arguments in (["validate", str(ROOT), *state], status):  # only the second run is measured
            _spent(arguments)
        yield _bar("--version", pairs, ["--version"], 0.08)
        yield _bar("status --no-engine", pairs, status, 0.2)
        yield _bar("validate, content known", pairs, ["validate", str(ROOT), *state], 0.3)
        new = [_spent(["validate", "--file", FILE, "--state", f"{folder}/{n}"]) for n in range(pairs)]
        compose = [_compose() for _ in range(pairs)]
        yield Bar("validate of one file beyond Compose", "s", min(new) - min(compose), None, 0.5)


def _bar(name: str, pairs: int, arguments: Sequence[str], most: float) -> Bar:
    return Bar(name, "s", min(_spent(arguments) for _ in range(pairs)), None, most)


def _spent(arguments: Sequence[str]) -> float:
    """Seconds of processor time. The result of the verb does not matter."""
    return _children([sys.executable, "-m", "reconciler", *arguments])


def _compose() -> float:
    environment = {"DB_PASSWORD": "x", **os.environ}
    return _children([*compose_command(), "-f", FILE, "config", "-q"], environment)


def _children(command: Sequence[str], environment: dict[str, str] | None = None) -> float:
    assert shutil.which(command[0]), command[0]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
