"""A commit as it would be after `init` has written its files, and what git must ignore of a folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from reconciler.model.files import READ_LIMIT, Entry, Files
from reconciler.model.outcome import Violation


class Proposed:
    """`files` with `texts` (path → text) over them."""

    revision = None

    def __init__(self, files: Files, texts: Mapping[str, str]) -> None:
        self._files = files
        self._texts = {path: text.encode() for path, text in texts.items()}

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        new = {path: Entry(path, "100644", "", len(data)) for path, data in self._texts.items()}
        return {**self._files.entries, **new}

    @property
    def refused(self) -> tuple[Violation, ...]:
        return self._files.refused

    def read(self, path: str, limit: int = READ_LIMIT) -> bytes:
        return self._texts[path] if path in self._texts else self._files.read(path, limit)

    def head(self, path: str, most: int) -> bytes:
        return self._texts[path][:most] if path in self._texts else self._files.head(path, most)

    def link(self, path: str) -> str:
        return self._files.link(path)

    def copy(self, path: str, target: BinaryIO) -> None:
        target.write(self.read(path))


def ignore_lines(
    folders: Iterable[str], files: Iterable[str], committable: Callable[[str], bool], root: Path
) -> list[str]:
    """Lines of a `.gitignore` in `root`. Folders of which git already takes nothing need none."""
    new = [path for path in folders if not _holds(root / path) or _takes(root / path, root, committable)]
    return [f"/{_escaped(path)}/" for path in new] + [f"/{_escaped(path)}" for path in files]


def _holds(folder: Path) -> bool:
    """Whether the folder has files that show how git treats it."""
    try:
        return any(folder.iterdir())
    except OSError:
        return False


def _takes(folder: Path, root: Path, committable: Callable[[str], bool]) -> bool:
    files = islice((item for item in folder.rglob("*") if item.is_file()), 1000)
    return any(committable(item.relative_to(root).as_posix()) for item in files)


def _escaped(path: str) -> str:
    return re.sub(r"([*?\[\\])", r"\\\1", path)
