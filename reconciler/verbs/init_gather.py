"""Copies the files of projects that run, wherever they lie, into one folder, so that `init` can adopt them together.

Only files that a project's Compose files name are copied, and those beside them that they build from: the folder of a
project can contain anything.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from reconciler.decide.read.compose_files import ComposeFiles
from reconciler.decide.read.inputs import Inputs
from reconciler.errors import Usage
from reconciler.formats.compose_names import ComposeFolder
from reconciler.formats.quantities import shown
from reconciler.materialise import EXECUTABLE, REGULAR, make_folders, put
from reconciler.model.documents import StackDocument
from reconciler.model.files import Files
from reconciler.model.observed import Container, Started
from reconciler.model.outcome import Reason
from reconciler.model.proposal import Left
from reconciler.observe.folder import SYMLINK, FolderFiles
from reconciler.values import dataclass
from reconciler.verbs.init_data import first_start, is_data
from reconciler.verbs.init_values import values_of

BELOW = "compose"
"""The folder of a project NAME is BELOW/NAME."""

MOST_FILES = 5_000
MOST_BYTES = 64 << 20
"""Most files and bytes of one project. More is hardly written by hand, and would be part of every commit."""

UNSEEN = ("/tmp", "/var/tmp")  # noqa: S108  # compared with, never written
"""Folders in whose place the agent's service has empty ones of its own."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """The projects as they lie in the new folder, and those that could not be copied, with the reason."""

    started: tuple[Started, ...]
    left: tuple[Left, ...]


class _LeftOut(Exception):
    """Why a project is left out."""


def gather(
    started: Iterable[Started],
    containers: Sequence[Container],
    look_at: Callable[[Path], ComposeFolder],
    folder: Path,
    unseen: Sequence[str] = UNSEEN,
) -> Gathered:
    """Copy the files of each project into `folder`, which exists. `containers`: of these projects. `look_at` reads a
    folder. `unseen`: projects below these are left out. Nothing of the projects is changed. Usage if a file cannot be
    read or written."""
    found, left = [], []
    for one in started:
        try:
            root = _root(one, unseen)
            found.append(_copied(one, root, containers, look_at, folder / BELOW / one.project))
        except _LeftOut as reason:
            left.append(Left((one.folder,), f"{one.project}: {reason}"))
    return Gathered(tuple(found), tuple(left))


def hand_over(folder: Path, user: int, group: int) -> None:
    """Give the folder and all in it to an account."""
    for place, _, names in os.walk(folder):
        for path in (place, *(os.path.join(place, name) for name in names)):
            os.chown(path, user, group, follow_symlinks=False)


def _root(one: Started, unseen: Sequence[str]) -> Path:
    root = Path(os.path.realpath(one.folder))
    if not root.is_dir():
        raise _LeftOut(f"its folder {one.folder} does not exist any more")
    if root == root.parent:
        raise _LeftOut("it lies in /, with all files of the machine. Move it into a folder of its own")
    if any(root.is_relative_to(item) for item in unseen):
        raise _LeftOut(f"the agent's service has a /tmp and a /var/tmp of its own. Move {root} elsewhere")
    return root


def _copied(
    one: Started, root: Path, containers: Sequence[Container], look_at: Callable[[Path], ComposeFolder], target: Path
) -> Started:
    names = tuple(_below(root, path) for path in one.files) or look_at(root).files
    variables = tuple(_below(root, path) for path in one.env_files)
    if not names:
        raise _LeftOut(f"there is no Compose file in {root}")
    files = FolderFiles(root, _data(root, one.project, containers))
    paths = sorted(_needed(files, root, one.project, names, variables))
    size = sum(files.entries[path].size for path in paths)
    if len(paths) > MOST_FILES or size > MOST_BYTES:
        raise _LeftOut(
            f"it builds from or mounts {len(paths)} files ({shown(size)}) of {root}; at most {MOST_FILES} "
            f"({shown(MOST_BYTES)}) are taken. Move aside what is no part of it, or adopt it by hand"
        )
    _copy(files, paths, root, target)
    whole = (*names, *variables)
    of = {name: str(target / name) for name in whole}
    return Started(one.project, str(target), tuple(of[name] for name in names), tuple(of[name] for name in variables))


def _below(root: Path, path: str) -> str:
    folder, name = os.path.split(os.path.normpath(path))
    real = Path(os.path.realpath(folder)) / name
    if not real.is_relative_to(root):
        raise _LeftOut(f"it runs with {path}, which is not below {root}")
    return real.relative_to(root).as_posix()


def _data(root: Path, project: str, containers: Sequence[Container]) -> frozenset[str]:
    """Folders below `root` that containers of the project write to, and that are data, relative to it."""
    own = [item for item in containers if item.stack == project]
    since, found = first_start(own, project), set()
    for mount in (mount for item in own for mount in item.mounts if mount.kind == "bind" and mount.writable):
        path = Path(mount.source)
        if path != root and path.is_relative_to(root) and is_data(root, "", path, None, since):
            found.add(path.relative_to(root).as_posix())
    return frozenset(found)


def _needed(files: Files, root: Path, project: str, names: Sequence[str], variables: Sequence[str]) -> Iterator[str]:
    """The files of a project that its stack needs, by path."""
    values = {name: value for path in variables for name, value in values_of(root / path).items()}
    read = ComposeFiles(files, StackDocument(project, tuple(names)), Inputs())
    read.load(values)
    referred = {item.resolved for item in read.references if item.resolved is not None}
    named = {path for path in read.named if not path.endswith("/")}
    wanted = {*names, *variables, *read.files, *named, ".env", ".gitignore", ".dockerignore", *referred}
    whole = {"" if path in ("", ".") else f"{path.rstrip('/')}/" for path in wanted - {*names}}
    if "" in whole and any(root == Path(item.pw_dir) for item in pwd.getpwall()):
        raise _LeftOut(f"it builds from or mounts all of {root}, a home folder. Move it into a folder of its own")
    tops = tuple(whole)
    yield from (path for path in files.entries if path in wanted or path.startswith(tops))


def _copy(files: FolderFiles, paths: Iterable[str], root: Path, target: Path) -> None:
    for path in paths:
        entry, to = files.entries[path], target / path
        try:
            make_folders(to.parent, 0o755)
            if entry.mode in REGULAR:
                put(files, entry, to, 0o755 if entry.mode == EXECUTABLE else 0o644, durable=False)
                status = os.lstat(root / path)
                # A program may have read the file only at its start: `init` compares this time with that of the start.
                os.utime(to, ns=(status.st_atime_ns, status.st_mtime_ns))
            elif entry.mode == SYMLINK:
                to.symlink_to(files.link(path))
        except OSError as error:
            hint = "make room there, or name another folder"
            raise Usage(Reason.DISK_FAILED, f"{to} cannot be written: {error.strerror}", hint) from error
