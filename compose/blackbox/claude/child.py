"""Runs a command with a limit in time. Afterwards no process that it started is left."""

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
    """`code`: the exit code, or minus the signal's number. `why`: why we ended it, or empty."""

    code: int
    why: str


def run(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], files: tuple[Path, Path, Path],
    until: Callable[[], str],
) -> Ended:  # fmt: skip
    """`files`: stdin, stdout (is appended to), stderr (is overwritten). `until` is called five times a second; if it
    returns a text, the command is ended for this reason."""
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
    """End the process group, and processes that have left it: tools start shells in groups of their own. All of them
    have inherited the mark in their environment."""
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
    """Ids of processes with this mark in their environment. A process that has ended has no environment."""
    wanted, found = f"{MARK}={mark}".encode(), []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if wanted in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found
