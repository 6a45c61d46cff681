"""Data folders are made at their place, and never behind a link that a container has made."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from reconciler.act.data_folders import DataFolders
from reconciler.effects import Effects
from reconciler.errors import Transient
from reconciler.host_paths import HostPaths
from reconciler.model.desired import DesiredState, Service, Stack
from reconciler.model.documents import DEFAULT_GATE, Memory


class Place:
    def __init__(self, root: Path) -> None:
        self.root, self.data, self.outside = root, root / "state/data", root / "outside"
        self.outside.mkdir()
        self.folders = self.new()

    def new(self) -> DataFolders:
        """The data folders of a new process."""
        return DataFolders(self.data, Effects(), HostPaths(str(self.data), [], [f"{self.root}/srv"]))

    def ensure(self, *paths: str) -> None:
        self.folders.ensure(desired(*(str(self.data / path) for path in paths)))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path.resolve())


def desired(*sources: str) -> DesiredState:
    volumes: list[dict[str, Any]] = [{"type": "bind", "source": path, "target": "/d"} for path in sources]
    service = Service("shop", "web", "s", {"volumes": volumes}, "i", "i", 1, 0, True, 10.0, "no")
    return DesiredState("mini", "c0ffee", "c", Memory(), (Stack("shop", (service,), (), (), DEFAULT_GATE),))


def test_folders_are_made_and_what_is_there_stays(place: Place) -> None:
    place.ensure("shop/data", "shop/a/b/c")
    (place.data / "shop/data/kept").write_text("x")
    (place.data / "shop/file").write_text("x")
    place.ensure("shop/data", "shop/a/b/c", "shop/file")
    assert (place.data / "shop/a/b/c").is_dir()
    assert (place.data / "shop/data/kept").read_text() == (place.data / "shop/file").read_text() == "x"


def test_nothing_of_the_hosts_outside_of_the_data_folder_is_made(place: Place) -> None:
    place.folders.ensure(desired(f"{place.root}/srv/films", f"{place.root}/elsewhere"))
    assert not (place.root / "srv").exists()
    assert not (place.root / "elsewhere").exists()


@pytest.mark.parametrize("dangling", [False, True])
def test_no_folder_is_made_behind_a_link(place: Place, dangling: bool) -> None:
    place.ensure("shop/data")
    target = place.root / "nowhere" if dangling else place.outside
    (place.data / "shop/data/x").symlink_to(target)
    place.ensure("shop/data/x/made", "shop/data/x", "shop/data/y")
    assert list(place.outside.iterdir()) == []
    assert not (place.root / "nowhere").exists()
    assert (place.data / "shop/data/y").is_dir()
    for path in ("shop/data/x", "shop/data/x/made"):
        with pytest.raises(Transient, match="shop/data/x is a symbolic link") as told:
            place.folders.check([str(place.data / path)])
        assert f"`rm {place.data}/shop/data/x`" in told.value.hint
    place.folders.check([str(place.data / "shop/data/y"), "/etc/hostname", f"{place.data}/absent"])


def test_adoptions_link_takes_the_place_of_an_empty_folder(place: Place) -> None:
    project = place.root / "project/data"
    project.mkdir(parents=True)
    folder = place.data / "shop/db"
    folder.mkdir(parents=True)
    for folders in (place.folders, place.folders, place.new()):
        folders.link(str(folder), str(project))
        assert os.readlink(folder) == str(project)
        folders.check([str(folder), f"{folder}/below"])
    place.ensure("shop/db/below")
    assert (project / "below").is_dir()


def test_adoptions_link_never_hides_data(place: Place) -> None:
    folder = place.data / "shop/db"
    folder.mkdir(parents=True)
    (folder / "kept").write_text("x")
    with pytest.raises(Transient):
        place.folders.link(str(folder), str(place.outside))
    assert (folder / "kept").read_text() == "x"


def test_adoptions_link_is_made_behind_no_link_of_a_containers(place: Place) -> None:
    (place.data / "shop").mkdir(parents=True)
    (place.data / "shop/data").symlink_to(place.outside)
    with pytest.raises(Transient, match="symbolic link"):
        place.folders.link(str(place.data / "shop/data/x"), str(place.root / "project"))
    assert list(place.outside.iterdir()) == []


def test_a_link_below_an_adopted_folder_is_that_folders_own(place: Place) -> None:
    project = place.root / "project/data"
    (project / "x").mkdir(parents=True)
    (project / "x/kept").write_text("x")
    for folders in (place.folders, place.new()):
        folders.link(str(place.data / "shop/data"), str(project))
        folders.link(str(place.data / "shop/data/x"), str(project / "x"))
        folders.check([str(place.data / "shop/data/x")])
    assert (project / "x/kept").read_text() == "x"
    assert not (project / "x").is_symlink()
    with pytest.raises(Transient, match="something else has that name"):
        place.folders.link(str(place.data / "shop/data/x"), str(place.outside))
