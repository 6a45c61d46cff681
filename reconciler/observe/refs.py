"""Reads refs from a repository's files, without a process."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from reconciler.formats.quantities import shown

SHA = re.compile(r"[0-9a-f]{40}")

LARGEST = 64 << 20
"""Largest file of refs in bytes; a million refs need so much."""

_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISDIR, "a folder"),
)


class Refs:
    """The refs of the repository in this folder, if they are stored as files. Never raises: an unreadable ref counts
    as missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> str | None:
        """The sha of a ref by its full name; None if it does not exist, or is symbolic."""
        loose = self._loose(self._folder / name)
        return loose if loose is not None else self._packed().get(name)

    def stands(self, name: str) -> bool:
        """Whether a file for it exists, readable or not."""
        return os.path.lexists(self._folder / name)

    def under(self, prefix: str) -> dict[str, str]:
        """Full name → sha of every ref whose name starts with `prefix` ('refs/reconciler/')."""
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
    """The refs of a user's repository; None if they may be stored elsewhere (worktree, reftable), or there are none."""
    folder = repository / ".git" if (repository / ".git").exists() else repository
    plain = all((folder / name).is_dir() for name in ("objects", "refs")) and (folder / "HEAD").is_file()
    elsewhere = any((folder / name).exists() for name in ("reftable", "commondir"))
    return Refs(folder) if plain and not elsewhere else None


def odd_file(repository: Path, branch: str) -> str | None:
    """Why git could wait for ever when it reads a repository on this machine, like 'refs/heads/main is a pipe'. None if
    every file that git reads first is a regular file, or does not exist."""
    base = repository / ".git" if os.path.lexists(repository / ".git") else repository
    named = ("HEAD", "config", "packed-refs", "shallow", "objects/info/alternates", f"refs/heads/{branch}")
    names = [""] if not base.is_dir() and os.path.lexists(base) else named
    for name in names:
        what = _odd(base / name if name else base)
        if what is not None:
            return f"{name or base.name} is {what}"
    return None


def is_shallow(repository: Path) -> bool:
    """Whether a repository on this machine has only a part of its history."""
    base = repository / ".git" if (repository / ".git").is_dir() else repository
    return _text(base / "shallow") != ""


def _odd(path: Path) -> str | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    if stat.S_ISREG(found.st_mode):
        return None if found.st_size <= LARGEST else f"larger than {shown(LARGEST)}"
    return next((word for test, word in _KINDS if test(found.st_mode)), "no file")


def _text(path: Path) -> str:
    """'' if it is no regular file: the repository's owner decides what it is, for example a pipe without a writer, a
    device, or a link to one."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        return ""
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST:
            return ""
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(LARGEST).decode("utf-8", errors="replace")
    except OSError:
        return ""
    finally:
        os.close(descriptor)


def _files(folder: Path) -> Iterator[Path]:
    try:
        yield from sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    except OSError:
        return
