"""Reads the files that agents write for pushers: finds them in the repository, and tells whether the agents still
run."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

Json = Mapping[str, Any]

TOLD = "reconciler"
"""Folder of a repository into which the agent writes, if the folder exists."""

LARGEST = 1 << 20
"""Largest such file in bytes."""

_OLD = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


def told_in(repository: Path) -> Path:
    """The folder for these files in a bare repository or a clone."""
    inside = repository / ".git"
    return (inside if inside.is_dir() else repository) / TOLD


def told(folder: Path) -> Iterator[Json]:
    """The documents in the folder. Everybody who may write to the repository may have forged them."""
    return (document for _, document in told_files(folder))


def told_files(folder: Path) -> Iterator[tuple[str, Json]]:
    """(file name, document) of each valid file in the folder."""
    with suppress(OSError):
        for name in sorted(os.listdir(folder)):
            found = read_told(folder / name) if name.endswith(".json") else None
            if isinstance(found, dict) and found.get("kind") == "Push":
                yield name, found


def is_alive(document: Json) -> bool:
    """Whether the process that wrote the document still runs. Another process with the same id does not count."""
    pid, born = document.get("pid"), document.get("born")
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    state, known = process_facts(pid)
    return state != "Z" and (born is None or known is None or known == born)


def process_facts(pid: int) -> tuple[str, str | None]:
    """A process's state and start time, as Linux has them; '' and None elsewhere."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()
        return words[0], words[19]
    except (OSError, IndexError):
        return "", None


def read_told(path: Path) -> object:
    """One such file; None if it is not valid."""
    try:
        with os.fdopen(os.open(path, _OLD), "rb") as file:
            plain = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            return json.loads(file.read(LARGEST)) if plain else None
    except (OSError, ValueError, RecursionError):
        return None
