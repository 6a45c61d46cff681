"""A commit's files that are read only when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import BinaryIO

from reconciler.model.files import READ_LIMIT, Entry, Files
from reconciler.model.outcome import Violation


class LazyFiles:
    """A commit's files, read from the mirror only where a mount is missing."""

    def __init__(self, of: Callable[[str], Files], revision: str) -> None:
        self._of, self.revision = of, revision

    @cached_property
    def _files(self) -> Files:
        return self._of(self.revision)

    @property
    def entries(self) -> Mapping[str, Entry]:
        return self._files.entries

    @property
    def refused(self) -> tuple[Violation, ...]:
        return self._files.refused

    def read(self, path: str, limit: int = READ_LIMIT) -> bytes:
        return self._files.read(path, limit)

    def head(self, path: str, most: int) -> bytes:
        return self._files.head(path, most)

    def link(self, path: str) -> str:
        return self._files.link(path)

    def copy(self, path: str, target: BinaryIO) -> None:
        self._files.copy(path, target)
