"""`<state>/data`: relative folders that containers write to and that no commit contains. Never removed.

Containers can make links there. Nothing here follows one: see `reconciler.host_paths`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from reconciler.act.trees import writing
from reconciler.effects import Effects
from reconciler.errors import Transient
from reconciler.host_paths import MODE, HostPaths, normal
from reconciler.materialise import make_folders
from reconciler.model.desired import DesiredState, Service
from reconciler.model.outcome import Reason
from reconciler.model.ways import Obstacle


class DataFolders:
    """Makes folders, empty. The data of an adopted project stays at its place, behind a link."""

    def __init__(self, root: Path, effects: Effects, paths: HostPaths) -> None:
        self._root, self._effects, self._paths = root, effects, paths
        self._engine = root.parent / "engine"
        self._links: dict[str, str] = {}

    def ensure(self, desired: DesiredState) -> None:
        """Make the folders that the state names. Transient if the disk refuses. If a link is in the way, nothing is
        made; `check` reports it before anything is mounted."""
        for path in self._named(desired):
            if not os.path.lexists(path):
                with writing(path):
                    make_folders(self._root, MODE)
                    with self._paths.walk(str(path), self._links, make=True):
                        pass
        for service in desired.services().values():
            for path in map(Path, bound(service)):
                if path.parent == self._engine:
                    with writing(path):
                        make_folders(path, MODE)  # the sockets in it may come and go

    def link(self, folder: str, to: str) -> None:
        """No effect if the link exists. An empty folder is replaced by the link; one with data is Transient."""
        self._links[folder] = to
        path = Path(folder)
        if path.is_symlink() and str(path.readlink()) == to:
            return
        with writing(path):
            make_folders(self._root, MODE)
            with self._paths.walk(str(path.parent), self._links, make=True) as walk:
                _refuse(walk.way.obstacle)
                if walk.adopted:
                    self._is_same(folder, to)
                else:
                    self._effects.point(f"link {folder}")
                    _place(path.name, to, walk.folder)

    def check(self, paths: Iterable[str]) -> None:
        """Called before these folders are mounted. Transient if a path leads over a link that a container can make."""
        for way in self._paths.ways([normal(path) for path in paths], self._links).values():
            _refuse(way.obstacle)

    def _is_same(self, folder: str, to: str) -> None:
        """Whether the link's place and its target are the same, because a folder above is a link."""
        found = self._paths.ways([folder, to], self._links)
        if found[folder].end != found[to].end:
            message = f"{folder} is to be {to}, and lies in an adopted folder in which something else has that name"
            raise Transient(Reason.FILE_MISSING, message, f"Move the data of {to} there, and remove {to}.")

    def _named(self, desired: DesiredState) -> Iterable[Path]:
        for service in desired.services().values():
            yield from (Path(path) for path in bound(service) if Path(path).is_relative_to(self._root))


def bound(service: Service) -> list[str]:
    """The paths of the host that a service mounts."""
    mounts = service.config.get("volumes") or ()
    return [str(mount["source"]) for mount in mounts if mount.get("type") == "bind" and mount.get("source")]


def _refuse(obstacle: Obstacle | None) -> None:
    if obstacle is not None:
        raise Transient(Reason.POLICY_VIOLATION, obstacle.message, obstacle.hint)


def _place(name: str, to: str, folder: int) -> None:
    """Make a link in an open folder, in place of an empty folder of that name."""
    with suppress(FileNotFoundError):
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            os.rmdir(name, dir_fd=folder)
    os.symlink(to, name, dir_fd=folder)
