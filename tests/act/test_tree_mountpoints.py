"""Trees with mount places inside contain these places, empty, and as read-only as the rest."""

from __future__ import annotations

from pathlib import Path

from reconciler.act.trees import TreeStore
from reconciler.effects import Effects
from reconciler.model.desired import Tree
from reconciler.observe.secrets import SecretStore
from tests.commits import CommitFiles

FILES = CommitFiles({"app/server.js": "serve", "app/config/default.json": "{}"})


def test_places_to_mount_at(tmp_path: Path) -> None:
    places = Tree("d1", path="app", empty_folders=("node_modules",), empty_files=("config/local.json", "new/a.txt"))
    TreeStore(tmp_path, Effects()).ensure([places], FILES, SecretStore(None))
    made = tmp_path / "d1"
    assert (made / "server.js").read_text() == "serve"
    assert list((made / "node_modules").iterdir()) == []
    assert (made / "config/default.json").read_text() == "{}"
    for name in ("config/local.json", "new/a.txt"):
        assert (made / name).read_bytes() == b""
        assert (made / name).stat().st_mode & 0o777 == 0o444
    for name in ("", "node_modules", "config", "new"):
        assert (made / name).stat().st_mode & 0o777 == 0o555
