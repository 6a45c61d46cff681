"""The journal: one JSON line for each event, durable before anything depends on it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from reconciler.effects import Effects
from reconciler.errors import Corrupt, Transient
from reconciler.log import logger
from reconciler.materialise import sync_folder, write
from reconciler.model.outcome import Reason
from reconciler.model.times import instant, rfc3339

VERSION = 1
LONG = 4 << 20
"""Bytes from which on it is shortened: some thousand commits."""

Record = Mapping[str, Any]

REMARKS = frozenset({"held", "released", "planned", "made", "proven", "engine"})
"""Kinds that do not describe the machine as it runs: writing one does not count as an effect."""

IDENTITIES = frozenset(
    {"attempt", "revision", "intent", "outcome", "reason", "state", "before", "revertedTo", "content", "spec"}
    | {"stack", "stacks", "service", "action", "verb", "request", "until", "lifted", "image", "gone"}
    | {"container", "started"}
)
"""Fields that we read again: names and digests, never masked. A secret may have the same text as a stack's name."""

_OWN_IMAGE = re.compile(r"sha256:[0-9a-f]{64}|[0-9a-f]{64}|reconciler/.*")
"""Our own names of fetched or built images. Any other name comes from the commit, and may contain a secret."""


class Journal:
    """<state>/journal.jsonl. Anybody may read; only the holder of the state lock may append."""

    def __init__(self, path: Path, effects: Effects, clean: Callable[[str], str]) -> None:
        self._path, self._effects, self._clean = path, effects, clean
        self._records: tuple[Record, ...] = ()
        self._end = 0
        self._vain = 0
        self._warned_at: int | None = None
        self._file: tuple[int, int] | None = None

    def append(self, kind: str, *, at: float, **fields: Any) -> None:
        """Add a record; on return it is on the disk. `at`: seconds of the Unix epoch. Texts are cleaned.

        Transient if the disk refuses; then nothing was added.
        """
        head = {"v": VERSION, "kind": kind, "at": rfc3339(at)}
        line = _line({**head, **_cleaned(fields, self._clean), **head})
        self.records()
        if kind not in REMARKS:
            self._effects.point(f"journal {kind}")
        try:
            self._write(line)
        except OSError as error:
            raise self._unwritable(error) from error
        self.records()

    def records(self) -> tuple[Record, ...]:
        """All records, oldest first. Reads only what was added since the last call.

        Corrupt if a line cannot be read, or was written by a newer version.
        """
        try:
            descriptor = os.open(self._path, os.O_RDONLY)
        except FileNotFoundError:
            self._records, self._end, self._file = (), 0, None
            return self._records
        try:
            self._catch_up(descriptor)
        finally:
            os.close(descriptor)
        return self._records

    @property
    def is_long(self) -> bool:
        """Whether the journal is long enough to be shortened. After an attempt that did not halve it, it is shortened
        again only after it has grown by half."""
        return self._end >= max(LONG, self._vain + self._vain // 2)

    def shorten(self, shorter: Callable[[Sequence[Record]], Sequence[Record]]) -> bool:
        """Replace all records by `shorter(records)`, if the journal is long and this halves it. Returns whether it did.

        A crash leaves the old file or the new one, complete. Transient if the disk refuses; then nothing has changed.
        """
        if not self.records() or not self.is_long:
            return False
        data = b"".join(_line(record) for record in shorter(self._records))
        if 2 * len(data) > self._end:
            self._vain = self._end
            return False
        self._effects.point("journal shorten")
        draft = self._path.with_name(f"{self._path.name}.new")
        try:
            draft.unlink(missing_ok=True)
            write(draft, data, 0o600, durable=True)
            draft.replace(self._path)
            sync_folder(self._path.parent)
        except OSError as error:
            raise self._unwritable(error) from error
        self.records()
        return True

    def _catch_up(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        if (status.st_dev, status.st_ino) != self._file or status.st_size < self._end:
            self._records, self._end = (), 0
            self._file = (status.st_dev, status.st_ino)
        if status.st_size > self._end:
            self._read(_from(descriptor, self._end))

    def _read(self, data: bytes) -> None:
        lines = data.split(b"\n")
        torn = lines.pop()
        # After a power cut, the last line's length may be on the disk, but not its bytes: they read as zeros.
        if not torn and lines and b"\0" in lines[-1]:
            torn = lines.pop()
        first = len(self._records) + 1
        fresh = [self._record(line, number) for number, line in enumerate(lines, first)]
        self._records += tuple(fresh)
        self._end += sum(len(line) + 1 for line in lines)
        if torn and self._warned_at != self._end:
            self._warned_at = self._end
            logger.warning("journal: the torn last line is dropped, {} bytes", len(torn))

    def _record(self, line: bytes, number: int) -> Record:
        try:
            record = json.loads(line)
            version = record["v"]
            readable = isinstance(record["kind"], str) and instant(record["at"]) is not None
        except (ValueError, TypeError, KeyError, RecursionError):
            version = readable = None
        if isinstance(version, int) and version > VERSION:
            raise self._corrupt(number, f"was written by a newer version ({version})", "install that version again")
        if not readable or version != VERSION:
            raise self._corrupt(
                number,
                "cannot be read",
                "keep a copy of the file, then fix or delete that line; each line records a change of the machine",
            )
        return dict(record)

    def _unwritable(self, error: OSError) -> Transient:
        return Transient(
            Reason.DISK_FAILED,
            f"cannot write to {self._path}: {error.strerror}",
            "make room on the disk of the state folder; until then nothing is changed",
        )

    def _corrupt(self, number: int, what: str, hint: str) -> Corrupt:
        return Corrupt(Reason.STALLED, f"{self._path}:{number}:1: the record {what}", hint)

    def _write(self, line: bytes) -> None:
        created = not self._path.exists()
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.ftruncate(descriptor, self._end)
            try:
                _write_all(descriptor, line, self._end)
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, self._end)
                raise
        finally:
            os.close(descriptor)
        if created:
            sync_folder(self._path.parent)


def _line(record: Record) -> bytes:
    text = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # A lone surrogate (a file name that is not UTF-8) becomes its JSON escape, so that it reads back the same.
    return text.encode(errors="backslashreplace") + b"\n"


def _cleaned(value: Any, clean: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {key: item if _is_identity(key, item) else _cleaned(item, clean) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(item, clean) for item in value]
    return value


def _is_identity(key: str, item: Any) -> bool:
    if key == "image" and isinstance(item, str):
        return _OWN_IMAGE.fullmatch(item) is not None
    return key in IDENTITIES


def _from(descriptor: int, offset: int) -> bytes:
    os.lseek(descriptor, offset, os.SEEK_SET)
    with os.fdopen(os.dup(descriptor), "rb") as file:
        return file.read()


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written
