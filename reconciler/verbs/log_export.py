"""`logs export`: a file with the lines of each service, for a report to somebody."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TextIO
from urllib.parse import quote

from reconciler.errors import Usage
from reconciler.model.logs import LogLine
from reconciler.model.outcome import Reason
from reconciler.record.summary_logs import log_export
from reconciler.verbs import Answer


def export(folder: Path, parts: Iterable[Sequence[LogLine]]) -> Answer:
    """Write STACK.SERVICE.log files into a new folder, which only its owner may read. Usage if it is there already, or
    cannot be made. It gets its name when it is complete."""
    if os.path.lexists(folder):
        hint = "name a folder that does not exist yet; nothing was written"
        raise Usage(Reason.USAGE_INVALID, f"{folder} exists already", hint)
    counts: dict[str, int] = {}
    try:
        with TemporaryDirectory(prefix=".logs-", dir=folder.parent, ignore_cleanup_errors=True) as draft:
            _write(Path(draft), parts, counts)
            Path(draft).rename(folder)
    except OSError as error:
        message = f"the logs cannot be written into {folder}: {error.strerror}"
        raise Usage(Reason.USAGE_INVALID, message, "the folder above it must be writable and have room") from error
    return 0, log_export(str(folder), counts)


def _write(folder: Path, parts: Iterable[Sequence[LogLine]], counts: dict[str, int]) -> None:
    with ExitStack() as opened:
        files: dict[str, TextIO] = {}
        for item in (line for part in parts for line in part):
            name = quote(f"{item.stack}.{item.service}.log", safe="")  # no stack has a dot in its name
            if name not in files:
                files[name] = opened.enter_context((folder / name).open("x", encoding="utf-8", errors="replace"))
            files[name].write(f"{item.time} {item.stream} {item.line}\n")
            counts[name] = counts.get(name, 0) + 1
