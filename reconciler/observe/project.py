"""Compose projects that lie in a folder, and the git repository around them. Reads only."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from reconciler.formats.urls import url_problem
from reconciler.model.files import Entry
from reconciler.observe.folder import FolderFiles
from reconciler.observe.git import Git

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
"""In the order in which Compose looks for them."""

OVERRIDES = tuple(f"{name}.override.{end}" for name in ("compose", "docker-compose") for end in ("yml", "yaml"))
DEEPEST = 2
"""So many folders below the given one Compose files are still looked for, where it has none itself."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A git repository; paths count from its root. `origin` is None where there is none that could be watched.

    `tracked`: what it holds; `paths`: and what it would take in besides.
    """

    root: Path
    branch: str
    origin: str | None
    paths: frozenset[str]
    tracked: frozenset[str]


def find_projects(folder: Path) -> list[tuple[str, ...]]:
    """The Compose files of each project in `folder`, relative to it: its own, else those of folders below it."""
    own = _compose_files(folder)
    if own:
        return [own]
    return [
        tuple(f"{below.relative_to(folder).as_posix()}/{name}" for name in _compose_files(below))
        for below in _folders(folder, DEEPEST)
        if _compose_files(below)
    ]


def find_repository(folder: Path, environ: Mapping[str, str]) -> Repository | None:
    """The repository that `folder` is in; None where there is none."""
    root = next((item for item in (folder, *folder.parents) if (item / ".git").exists()), None)
    if root is None:
        return None
    git = Git(root / ".git", environ)
    tracked = _listed(git, root, "--cached")
    origin = _output(git, "config", "--get", "remote.origin.url").strip()
    return Repository(
        root,
        _output(git, "symbolic-ref", "--short", "HEAD").strip() or "main",
        origin if origin and url_problem(origin) is None else None,
        tracked | _listed(git, root, "--others", "--exclude-standard"),
        tracked,
    )


class CommittableFiles(FolderFiles):
    """A working folder as its repository would take it: what git ignores is left out."""

    def __init__(self, root: Path, paths: Iterable[str]) -> None:
        self._paths = sorted(paths)
        super().__init__(root)

    def _listed(self, root: Path) -> Iterable[Entry]:
        for path in self._paths:
            try:
                status = os.lstat(root / path)
            except FileNotFoundError:
                continue  # deleted, and not committed yet
            if stat.S_ISLNK(status.st_mode):
                yield Entry(path, "120000", "", status.st_size)
            elif stat.S_ISREG(status.st_mode):
                yield Entry(path, "100755" if status.st_mode & stat.S_IXUSR else "100644", "", status.st_size)


def _compose_files(folder: Path) -> tuple[str, ...]:
    first = next((name for name in NAMES if (folder / name).is_file()), None)
    if first is None:
        return ()
    return (first, *(name for name in OVERRIDES if (folder / name).is_file()))


def _folders(folder: Path, depth: int) -> Iterable[Path]:
    try:
        found = sorted(item for item in folder.iterdir() if item.is_dir() and not item.is_symlink())
    except PermissionError:
        return
    for item in found:
        if not item.name.startswith("."):
            yield item
            if depth > 1:
                yield from _folders(item, depth - 1)


def _listed(git: Git, root: Path, *which: str) -> frozenset[str]:
    return frozenset(_output(git, f"--work-tree={root}", "ls-files", "-z", *which).split("\0")) - {""}


def _output(git: Git, *arguments: str) -> str:
    done = git.run(*arguments)
    return "" if done.returncode else done.stdout.decode(errors="surrogateescape")
