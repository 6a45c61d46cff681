"""`reconciler logs` of 100 MB: of one container's log as the engine keeps it (json-file), and of the archive."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from benchmarks.measure import Bar
from benchmarks.sides import IMAGE, Ours, Services
from reconciler.model.logs import LogLine, log_time
from reconciler.record.log_archive import LogArchive
from tests.e2e.host import eventually

LINES, FILES = 1_000_000, 10
"""Lines of 100 bytes; files of the archive that they are in."""

TEXT = "2026-11-29 06:30:01 INFO request {0:07} GET /item/{0:07} took 12 ms " + 29 * "x"
PRINT = f"""for (1..{LINES}) {{ printf "{TEXT.replace("{0:07}", "%07d")}\\n", $_, $_ }} $| = 1; sleep 1e6"""
VALUE = "canary-0815-secret"
MOST_MEMORY = 150.0
"""MB (1,000,000 bytes). The seconds have no bar: `--since`, `--tail` and `--grep` make an answer shorter."""


def run(pairs: int) -> Iterator[Bar]:
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        ours = Ours(Path(folder) / "ours")
        try:
            (ours.secrets / f"{ours.stack}.env").write_text(f"SECRET={VALUE}\n")
            (ours.secrets / f"{ours.stack}.env").chmod(0o600)
            ours.applied(_printing())
            eventually(lambda: str(LINES) in ours.text("logs", "--tail", "1"), 300, 1)
            yield from _bars("engine", [_logs(ours, f"{ours.stack}/web") for _ in range(pairs)])
            _fill(LogArchive(ours.state / "logs"), ours.stack)
            yield from _bars(
                "archive", [_logs(ours, f"{ours.stack}/old", "--since", "2001-01-01") for _ in range(pairs)]
            )
        finally:
            ours.close()


def _printing() -> Services:
    keeps = {"driver": "json-file", "options": {"max-size": "1g"}}
    command = ["perl", "-e", PRINT.replace("$", "$$")]
    return {"web": {"image": IMAGE, "command": command, "mem_limit": "32m", "stop_signal": "SIGKILL", "logging": keeps,
                    "restart": "unless-stopped", "environment": {"SECRET": "${SECRET}"}}}  # fmt: skip


def _fill(archive: LogArchive, stack: str) -> None:
    each = LINES // FILES
    for n in range(FILES):
        numbers = range(n * each, (n + 1) * each)
        container = f"{n:012}" + 52 * "0"
        lines = (LogLine(log_time(1e9 + i), stack, "old", container, "stdout", TEXT.format(i)) for i in numbers)
        archive.keep((stack, "old"), 1, container, lines)


def _logs(ours: Ours, *words: str) -> tuple[float, float, float]:
    """Print a log into a file. Returns the seconds that it took, those of processor time, and the largest memory in
    MB."""
    command = [word for word in ours.command("logs", *words) if word not in ("--output", "json")]
    printed = ours.folder / "printed"
    with printed.open("wb") as out:
        begun = time.monotonic()
        process = subprocess.Popen(command, stdout=out, env=ours.environment(), cwd=ours.folder)
        _, code, used = os.wait4(process.pid, 0)
        took = time.monotonic() - begun
    with printed.open("rb") as lines:
        count = sum(1 for _ in lines)
    assert (code, count) == (0, LINES), f"exit code {code}, {count} lines"
    return took, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6


def _bars(what: str, found: Sequence[tuple[float, float, float]]) -> Iterator[Bar]:
    took, worked, memory = zip(*found, strict=True)
    yield Bar(f"logs, 100 MB of the {what}", "s", median(took))
    yield Bar(f"logs, 100 MB of the {what}, processor", "s", median(worked))
    yield Bar(f"logs, 100 MB of the {what}, memory", "MB", max(memory), None, MOST_MEMORY)
