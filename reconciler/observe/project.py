"""Compose projects in a folder, and the git repository around them. Only reads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from reconciler.errors import Usage
from reconciler.formats.compose_names import ComposeFolder, other_files
from reconciler.formats.dotenv import Steering, steering
from reconciler.formats.urls import url_problem
from reconciler.model.files import Entry
from reconciler.model.outcome import Reason
from reconciler.observe.folder import FolderFiles, folder_entry
from reconciler.observe.git import Git
from reconciler.observe.tree import LIST_LIMIT
from reconciler.values import dataclass

DEEPEST = 2
"""Depth below the given folder down to which Compose files are searched, if the folder itself has none."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A git repository; paths start at its root. `origin` is None if it has none that can be watched.

    `tracked`: files in it; `paths`: these, and the files that `git add` would add.
    """

    root: Path
    branch: str
    origin: str | None
    paths: frozenset[str]
    tracked: frozenset[str]


def find_folders(folder: Path) -> list[ComposeFolder]:
    """Folders with Compose projects: `folder` itself, else those below it that have Compose files."""
    own = compose_folder(folder)
    if own.files:
        return [own]
    below = [item for item in map(compose_folder, _folders(folder, DEEPEST)) if item.files or other_files(item.names)]
    return below or ([own] if other_files(own.names) else [])


def compose_folder(folder: Path) -> ComposeFolder:
    """A folder of the disk; empty if it cannot be read."""
    try:
        names = frozenset(item.name for item in folder.iterdir() if item.is_file())
        told = steering((folder / ".env").read_bytes()) if ".env" in names else Steering()
    except OSError:
        return ComposeFolder(folder, frozenset(), Steering())
    return ComposeFolder(folder, names, told)


def find_repository(folder: Path, environ: Mapping[str, str]) -> Repository | None:
    """The repository around `folder`; None if there is none."""
    root = _repository(folder)
    if root is None:
        return None
    git = Git(root / ".git", environ)
    tracked = _listed(git, root, "--cached")
    origin = _output(git, "config", "--get", "remote.origin.url").strip()
    return Repository(
        root,
        _output(git, "symbolic-ref", "HEAD").strip().removeprefix("refs/heads/") or "main",
        origin if origin and url_problem(origin) is None else None,
        tracked | _listed(git, root, "--others"),
        tracked,
    )


def working_folder(folder: Path, environ: Mapping[str, str]) -> FolderFiles:
    """The files that `git add -A` would commit of a folder; all files if it is in no repository, or git ignores all of
    it.

    Usage if it cannot be read.
    """
    root = _repository(folder.absolute())
    if root is None:
        return FolderFiles(folder)
    prefix = folder.absolute().relative_to(root).as_posix() + "/"
    listed = _listed(Git(root / ".git", environ, config=_ignored(environ)), root, "--cached", "--others")
    paths = listed if prefix == "./" else {path.removeprefix(prefix) for path in listed if path.startswith(prefix)}
    return CommittableFiles(folder, paths) if paths else FolderFiles(folder)


def folder_around(named: Iterable[Path], folder: Path, environ: Mapping[str, str]) -> FolderFiles:
    """All files of `folder`, which has the Compose files `named`.

    Folders that git ignores (installed packages, builds) are left out, unless these files contain the name of one. If
    they read other Compose files, no folder is left out.
    """
    if not (folder / ".git").exists():
        return FolderFiles(folder)
    texts = [_text(path) for path in named]
    if any(word in text for word in (b"include", b"extends") for text in texts):
        return FolderFiles(folder)
    git = Git(folder / ".git", environ, config=_ignored(environ))
    listed = _listed(git, folder, "--others", "--ignored", "--directory")
    ignored = (path.rstrip("/") for path in listed if path.endswith("/"))
    return FolderFiles(
        folder, frozenset(path for path in ignored if not any(os.fsencode(_name(path)) in text for text in texts))
    )


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _text(path: Path) -> bytes:
    """The text of a Compose file and of the `.env` beside it. If one cannot be read, the judgement reports it."""
    found = b""
    for item in (path, path.parent / ".env"):
        with suppress(OSError):
            found += item.read_bytes()
    return found


class CommittableFiles(FolderFiles):
    """A working folder without the files that git ignores."""

    def __init__(self, root: Path, paths: Iterable[str]) -> None:
        self._paths = sorted(paths)
        super().__init__(root)

    def _listed(self) -> Iterable[Entry]:
        for path in self._paths:
            try:
                status = os.lstat(os.path.join(self._root, path))
            except (FileNotFoundError, NotADirectoryError):
                continue  # deleted, but not committed yet
            entry = folder_entry(self._root, path.rstrip("/"), status)
            if entry is not None:
                yield entry


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


def _repository(folder: Path) -> Path | None:
    return next((item for item in (folder, *folder.parents) if (item / ".git").exists()), None)


def _listed(git: Git, root: Path, *which: str) -> frozenset[str]:
    """Paths from the root, for any folder; a nested repository ends with a '/'."""
    arguments = ("-C", str(root), f"--work-tree={root}", "ls-files", "-z", "--exclude-standard", *which)
    done = git.run(*arguments, limit=LIST_LIMIT)
    if done.cut:
        raise Usage(
            Reason.USAGE_INVALID,
            f"{root} has more files than can be listed",
            "tell git to ignore what is no part of a commit (.gitignore)",
        )
    return frozenset(os.fsdecode(done.stdout).split("\0")) - {""} if done.returncode == 0 else frozenset()


def _ignored(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The file of ignore patterns that the user's own configuration names; nothing else of it is read."""
    home = environ.get("HOME", "")
    git = Git(Path(os.devnull), environ)
    named = _output(git, "config", "--file", f"{home}/.gitconfig", "--type=path", "core.excludesFile").strip()
    return (f"core.excludesFile={named}",) if home and named else ()


def _output(git: Git, *arguments: str) -> str:
    done = git.run(*arguments)
    return "" if done.returncode else done.stdout.decode(errors="surrogateescape")
