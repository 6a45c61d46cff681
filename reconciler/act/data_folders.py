"""`<state>/data`: relative folders that containers write to and no commit holds. Never removed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from reconciler.act.trees import writing
from reconciler.effects import Effects
from reconciler.materialise import make_folders
from reconciler.model.desired import DesiredState


class DataFolders:
    """Folders are created empty; the data of an adopted project stays where it is, behind a link."""

    def __init__(self, root: Path, effects: Effects) -> None:
        self._root, self._effects = root, effects

    def ensure(self, desired: DesiredState) -> None:
        """Those that the state names. Transient where the disk refuses."""
        for path in self._named(desired):
            with writing(path):
                if not path.exists():
                    make_folders(path, 0o755)

    def link(self, folder: str, to: str) -> None:
        """No effect where it is so already. An empty folder gives way; one with data in it is Transient."""
        path = Path(folder)
        if path.is_symlink() and str(path.readlink()) == to:
            return
        self._effects.point(f"link {folder}")
        with writing(path):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            make_folders(path.parent, 0o755)
            path.symlink_to(to)

    def _named(self, desired: DesiredState) -> Iterable[Path]:
        for service in desired.services().values():
            for mount in service.config.get("volumes") or ():
                source = Path(mount.get("source") or "")
                if mount.get("type") == "bind" and source.is_relative_to(self._root):
                    yield source
