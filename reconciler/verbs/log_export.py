"""`logs export`: a file with the lines of each service, for a report to somebody."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO
from urllib.parse import quote

from reconciler.errors import Usage
from reconciler.model.logs import LogLine
from reconciler.model.outcome import Reason
from reconciler.record.summary_logs import log_export
from reconciler.verbs import Answer


def export(folder: Path, parts: Iterable[Sequence[LogLine]]) -> Answer:
    """Write STACK.SERVICE.log files into a new folder, which only its owner may read. Usage if it is there already, or
    cannot be made."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError as error:
        hint = "name a folder that does not exist yet; nothing was written"
        raise Usage(Reason.USAGE_INVALID, f"{folder} exists already", hint) from error
    except OSError as error:
        raise Usage(Reason.USAGE_INVALID, f"the folder {folder} cannot be made: {error.strerror}") from error
    counts: dict[str, int] = {}
    try:
        with ExitStack() as opened:
            files: dict[str, TextIO] = {}
            for item in (line for part in parts for line in part):
                name = quote(f"{item.stack}.{item.service}.log", safe="")  # no stack has a dot in its name
                if name not in files:
                    files[name] = opened.enter_context((folder / name).open("x", encoding="utf-8", errors="replace"))
                files[name].write(f"{item.time} {item.stream} {item.line}\n")
                counts[name] = counts.get(name, 0) + 1
    except OSError as error:
        message = f"the logs cannot be written into {folder}: {error.strerror}"
        raise Usage(Reason.USAGE_INVALID, message, "make room, remove the folder, and try again") from error
    return 0, log_export(str(folder), counts)
