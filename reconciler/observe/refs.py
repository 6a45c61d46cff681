"""Refs read from a repository's files: a look at the branch costs no process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

SHA = re.compile(r"[0-9a-f]{40}")


class Refs:
    """The refs of the repository in this folder, where they are stored as files. Never raises: what is not readable
    is not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> str | None:
        """The sha of a ref by its full name; None for none, and for a symbolic one."""
        loose = self._loose(self._folder / name)
        return loose if loose is not None else self._packed().get(name)

    def under(self, prefix: str) -> dict[str, str]:
        """Full name → sha of every ref whose name begins with `prefix` ('refs/reconciler/')."""
        base = self._folder / prefix.rpartition("/")[0]
        loose = {path.relative_to(self._folder).as_posix(): self._loose(path) for path in _files(base)}
        found = self._packed() | {name: sha for name, sha in loose.items() if sha is not None}
        return {name: found[name] for name in sorted(found) if name.startswith(prefix)}

    def _loose(self, path: Path) -> str | None:
        text = _text(path).removesuffix("\n")
        return text if SHA.fullmatch(text) else None

    def _packed(self) -> dict[str, str]:
        pairs = (line.partition(" ") for line in _text(self._folder / "packed-refs").splitlines())
        return {name: sha for sha, _, name in pairs if SHA.fullmatch(sha)}


def refs_of(repository: Path) -> Refs | None:
    """The refs of a user's repository; None where they may stand elsewhere (worktree, reftable) or there is none."""
    folder = repository / ".git" if (repository / ".git").exists() else repository
    plain = all((folder / name).is_dir() for name in ("objects", "refs")) and (folder / "HEAD").is_file()
    elsewhere = any((folder / name).exists() for name in ("reftable", "commondir"))
    return Refs(folder) if plain and not elsewhere else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _files(folder: Path) -> Iterator[Path]:
    try:
        yield from sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    except OSError:
        return
