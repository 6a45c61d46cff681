"""What git must ignore of a folder that `init` examines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

IGNORE = ".gitignore"


def ignore_lines(
    folders: Iterable[str], files: Iterable[str], committable: Callable[[str], bool], root: Path
) -> list[str]:
    """Lines of a `.gitignore` in `root`. Folders of which git already takes nothing need none."""
    new = [path for path in folders if not _holds(root / path) or _takes(root / path, root, committable)]
    return [f"/{_escaped(path)}/" for path in new] + [f"/{_escaped(path)}" for path in files]


def by_folder(lines: Iterable[str], root: Path) -> dict[Path, list[str]]:
    """The `.gitignore` files that take these lines: that of `root`, and for files of the repository above it, that of
    the folder which has both."""
    found: dict[Path, list[str]] = {}
    for line in lines:
        folder = root
        while line.startswith("/../"):
            folder, line = folder.parent, line[3:]
        found.setdefault(folder / IGNORE, []).append(line)
    return found


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
