"""A commit's files in memory, with the modes and bytes that git can hold."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import BinaryIO

from reconciler.model.files import READ_LIMIT, Entry
from reconciler.model.outcome import Violation


@dataclass(frozen=True)
class CommitFiles:
    """`contents`: path → bytes or text. `modes`: git's modes of files that are not 100644."""

    contents: Mapping[str, bytes | str]
    modes: Mapping[str, str] = field(default_factory=dict)
    revision: str | None = None
    refused: tuple[Violation, ...] = ()

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        return {path: self._entry(path) for path in sorted(self.contents)}

    def read(self, path: str, limit: int = READ_LIMIT) -> bytes:
        content = self.contents[path]
        return content.encode() if isinstance(content, str) else content

    def head(self, path: str, most: int) -> bytes:
        return self.read(path)[:most]

    def link(self, path: str) -> str:
        return self.read(path).decode()

    def copy(self, path: str, target: BinaryIO) -> None:
        target.write(self.read(path))

    def _entry(self, path: str) -> Entry:
        data = self.read(path)
        oid = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
        return Entry(path, self.modes.get(path, "100644"), oid, len(data))
