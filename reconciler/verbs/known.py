"""Remembers answers of `validate` by everything that they depend on: the files, the rules, this program and Compose.

In the user's own cache folder, never in the checked folder. If the cache has any fault, nothing is remembered.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from reconciler.model.files import Files
from reconciler.ownership import STATE, faults
from reconciler.verbs import Answer

MOST = 100
"""Number of answers that are kept."""

LARGEST = 64 << 20
"""Largest number of bytes that are read to compare files. With more, judging them again is quicker."""


class KnownAnswers:
    """`place`: the folder; None: nothing is remembered. `rules`: what the judgement depends on, besides the files."""

    def __init__(self, place: Path | None, rules: str) -> None:
        self._place = place if place is not None and not faults(str(place), STATE) else None
        self._rules = rules

    def get(self, files: Files, about: str | None = None) -> tuple[Answer | None, str]:
        """The remembered answer for these files and `about`, None if there is none; and the name for `put`, '' if no
        answer can be kept."""
        if self._place is None or sum(entry.size for entry in files.entries.values()) > LARGEST:
            return None, ""
        digest = hashlib.sha256(f"{self._rules}\0{about}\0{files.refused}".encode(errors="replace"))
        for path, entry in files.entries.items():
            digest.update(f"{path}\0{entry.mode} {entry.oid}\0".encode(errors="surrogateescape"))
        name = digest.hexdigest()
        try:
            found = json.loads((self._place / name).read_bytes())
            return (found["code"], found["document"]), name
        except (OSError, ValueError, LookupError, TypeError):
            return None, name

    def put(self, name: str, answer: Answer) -> None:
        """Remember it under the name that `get` returned."""
        if self._place is None or not name:
            return
        with suppress(OSError):
            self._place.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = self._place / f".{name}.{os.getpid()}"
            draft.write_text(json.dumps({"code": answer[0], "document": answer[1]}), "utf-8")
            draft.replace(self._place / name)
            for old in sorted(self._place.iterdir(), key=lambda path: path.stat().st_mtime)[:-MOST]:
                old.unlink()


def cache_folder(environ: Mapping[str, str]) -> Path | None:
    """The user's cache folder (XDG)."""
    named = environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(named):
        return Path(named) / "reconciler/validate"
    home = environ.get("HOME", "")
    return Path(home) / ".cache/reconciler/validate" if os.path.isabs(home) else None


def program(compose: str) -> str:
    """A text that changes whenever this program or Compose is replaced."""
    status = os.stat(compose)
    parts = [compose, str(status.st_mtime_ns), str(status.st_size), *_stamps(str(Path(__file__).parent.parent))]
    return hashlib.sha256("\0".join(parts).encode(errors="replace")).hexdigest()


def _stamps(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda item: item.name):
            if entry.is_dir() and entry.name != "__pycache__":
                yield from _stamps(entry.path)
            elif entry.name.endswith((".py", ".json")):
                status: Any = entry.stat()
                yield f"{entry.path} {status.st_mtime_ns} {status.st_size}"
