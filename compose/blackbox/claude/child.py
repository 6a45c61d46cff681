"""A command with everything that it starts: ended in time, and gone afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MARK = "STARTED_BY"
POLITE = 5.0
"""Seconds between SIGTERM and SIGKILL."""


@dataclass(frozen=True, slots=True)
class Ended:
    """`code`: the exit code, minus the signal's number. `why`: why it was ended before its time, or empty."""

    code: int
    why: str


def run(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], files: tuple[Path, Path, Path],
    until: Callable[[], str],
) -> Ended:  # fmt: skip
    """`files`: stdin, stdout (written to the end of it), stderr. `until` is asked five times a second; what it says, if
    anything, is the reason to end."""
    mark = uuid.uuid4().hex
    given, printed, errors = files
    with given.open("rb") as stdin, printed.open("ab") as stdout, errors.open("wb") as stderr:
        process = subprocess.Popen(
            list(command), cwd=folder, env={**environment, MARK: mark}, stdin=stdin, stdout=stdout, stderr=stderr,
            start_new_session=True,
        )  # fmt: skip
    why = ""
    try:
        while not why and _runs(process, 0.2):
            why = until()
    finally:
        _end(process, mark)
    return Ended(process.returncode, why)


def _runs(process: subprocess.Popen[bytes], seconds: float) -> bool:
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.returncode is None


def _end(process: subprocess.Popen[bytes], mark: str) -> None:
    """The group, and what has left it: tools start shells in groups of their own. Each has inherited the mark."""
    if process.returncode is None:
        _signal_group(process.pid, signal.SIGTERM)
        _runs(process, POLITE)
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()
    for _ in range(50):
        marked = list(_marked(mark))
        if not marked:
            return
        for pid in marked:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def _signal_group(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _marked(mark: str) -> list[int]:
    """Processes with this mark in their environment; those that have ended have none."""
    wanted, found = f"{MARK}={mark}".encode(), []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if wanted in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found
