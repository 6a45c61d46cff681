"""<state>/logs/STACK%2FSERVICE/TIME-NUMBER-ID.jsonl.gz: logs of containers that were removed, with masked secrets.

Each line of a file is a document as `logs --output json` prints it.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, unquote

from reconciler.log import logger
from reconciler.model.desired import ServiceKey
from reconciler.model.documents import LogBounds
from reconciler.model.logs import LogLine
from reconciler.record.summary_logs import log_line

TOTAL = 1 << 30
"""Bytes of all files; beyond that the oldest are removed, of whatever service."""

PATIENCE = 10.0
"""Seconds that may go into one file: a container waits for it to be removed."""

CHECKED = 32 << 10
"""Bytes that are written between two checks of size and time."""

SUFFIX = ".jsonl.gz"


class LogArchive:
    """Only the holder of the state lock may `keep`. `bounds`: read anew each time."""

    def __init__(self, folder: Path, bounds: Callable[[], LogBounds] = LogBounds) -> None:
        self._folder, self._bounds = folder, bounds

    def keep(self, service: ServiceKey, number: int, container: str, lines: Iterable[LogLine]) -> None:
        """Write these lines into a file; if they are too many, only the newest. OSError if the disk refuses.

        A file of the same container is replaced.
        """
        folder = self._place(service)
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        newer, older = folder / ".newer", folder / ".older"
        bounds = self._bounds()
        try:
            if not _write(lines, newer, older, bounds.size):
                return
            if older.exists():  # a file may have several parts
                with older.open("ab") as whole, newer.open("rb") as part:
                    shutil.copyfileobj(part, whole)
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
            for path in folder.glob(f"*-{container[:12]}{SUFFIX}"):
                path.unlink()
            (older if older.exists() else newer).replace(folder / f"{stamp}Z-{number}-{container[:12]}{SUFFIX}")
        finally:
            newer.unlink(missing_ok=True)
            older.unlink(missing_ok=True)
        self._collect(folder, bounds.keep)

    def services(self) -> Sequence[ServiceKey]:
        """The services of which the archive has a log."""
        found = []
        with suppress(OSError):
            for folder in sorted(self._folder.iterdir()):
                stack, _, service = unquote(folder.name).partition("/")
                if service and any(folder.glob(f"*{SUFFIX}")):
                    found.append((stack, service))
        return found

    def files(self, service: ServiceKey, since: float = 0.0) -> Sequence[Path]:
        """The service's files, oldest first. `since`: only files that may have lines from then on."""
        found = sorted(self._place(service).glob(f"*{SUFFIX}"))
        return [path for path in found if path.stat().st_mtime >= since]

    def previous(self, service: ServiceKey) -> Sequence[Path]:
        """For each container number of the service, the newest file."""
        newest = {path.name.split("-")[1]: path for path in self.files(service)}
        return sorted(newest.values())

    @staticmethod
    def read(path: Path) -> Iterator[LogLine]:
        """The lines of the file, as far as it can be read."""
        try:
            with gzip.open(path, "rt", encoding="utf-8") as file:
                for text in file:
                    yield LogLine(**json.loads(text))
        except (OSError, EOFError, ValueError, TypeError) as error:
            logger.warning("the log {} cannot be read to its end: {}", path, error)

    def _place(self, service: ServiceKey) -> Path:
        return self._folder / quote("/".join(service), safe="")

    def _collect(self, folder: Path, keep: int) -> None:
        for path in sorted(folder.glob(f"*{SUFFIX}"))[:-keep]:
            path.unlink(missing_ok=True)
        every = sorted(self._folder.glob(f"*/*{SUFFIX}"), key=lambda path: path.name)
        left = sum(path.stat().st_size for path in every) - TOTAL
        for path in every[:-1]:
            if left <= 0:
                return
            left -= path.stat().st_size
            path.unlink(missing_ok=True)


def _write(lines: Iterable[LogLine], newer: Path, older: Path, largest: int) -> bool:
    """Compress into `newer`; each time that it has half of `largest` bytes, it becomes `older`. Returns whether there
    was any line."""
    until, rest, any_line = time.monotonic() + PATIENCE, iter(lines), False
    full = True
    while full:
        full = False
        with newer.open("wb") as raw:
            os.fchmod(raw.fileno(), 0o600)
            with gzip.GzipFile("", "wb", 5, raw, 0) as file:
                written = 0  # since the last check
                for item in rest:
                    line = json.dumps(log_line(item), ensure_ascii=False).encode(errors="replace") + b"\n"
                    file.write(line)
                    any_line, written = True, written + len(line)
                    if written < CHECKED:
                        continue
                    written = 0
                    if raw.tell() > largest // 2 - (64 << 10) or time.monotonic() > until:
                        full = time.monotonic() <= until
                        break
        if full:
            newer.replace(older)
    return any_line
