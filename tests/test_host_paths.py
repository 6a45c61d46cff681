"""Paths are walked step by step: the operator's links are followed, links that a container may have made are not."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from reconciler.host_paths import HostPaths
from reconciler.model.ways import Way


class Place:
    """A data folder, a folder of the operator's that is granted, and one that is nobody's business."""

    def __init__(self, root: Path) -> None:
        self.data, self.media, self.secret = root / "state/data", root / "srv/media", root / "secret"
        for folder in (self.data / "shop/data", self.media, self.secret):
            folder.mkdir(parents=True)
        (self.secret / "key").write_text("private")
        state = root / "state"
        self.paths = HostPaths(str(self.data), [f"{state}/trees"], [str(self.media)], (), [str(state)])

    def way(self, path: Path, links: Mapping[str, str] | None = None) -> Way:
        return self.paths.ways([str(path)], links or {})[str(path)]

    def refused(self, path: Path, links: Mapping[str, str] | None = None) -> str:
        """What stands in the way; '' for nothing."""
        obstacle = self.way(path, links).obstacle
        return obstacle.message if obstacle else ""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path.resolve())


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    before = len(os.listdir("/dev/fd"))
    yield
    assert len(os.listdir("/dev/fd")) <= before  # fewer: somebody else has closed theirs


pytestmark = pytest.mark.usefixtures("few_descriptors")


def test_folders_files_and_what_is_not_there_are_no_obstacle(place: Place) -> None:
    (place.data / "shop/data/file").write_text("x")
    for path in ("shop", "shop/data", "shop/data/file", "shop/data/new", "other/deep/down"):
        assert place.refused(place.data / path) == ""
    assert place.way(place.data / "shop/data/new").end is None
    assert place.way(place.media).end is not None


@pytest.mark.parametrize("target", ["/", "..", "key", "data", "/nowhere"])
@pytest.mark.parametrize("below", ["", "x", "x/y"])
def test_a_link_that_a_container_made_is_named_and_not_followed(place: Place, target: str, below: str) -> None:
    for folder in (place.data / "shop/data", place.media):
        link = folder / "x y"
        link.symlink_to(target)
        way = place.way(link / below)
        assert way.obstacle is not None
        assert way.obstacle.message.startswith(f"{link} is a symbolic link")
        assert f"remove it (`rm '{link}'`)" in way.obstacle.hint
        assert way.end is None


def test_links_of_the_operators_are_followed_up_to_the_granted_path(place: Place, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    (disk / "films").mkdir(parents=True)
    (tmp_path / "films").symlink_to("disk/../disk/films")
    paths = HostPaths(str(place.data), [], [f"{tmp_path}/films"])
    ways = paths.ways([f"{tmp_path}/films", f"{disk}/films", f"{tmp_path}/films/new"], {})
    assert [way.obstacle for way in ways.values()] == [None, None, None]
    assert len({ways[f"{tmp_path}/films"].end, ways[f"{disk}/films"].end}) == 1
    assert ways[f"{tmp_path}/films/new"].lies_in(ways[f"{disk}/films"])
    (disk / "films/x").symlink_to("/")
    assert paths.ways([f"{tmp_path}/films/x"], {})[f"{tmp_path}/films/x"].obstacle


def test_a_granted_path_in_another_ones_reach_is_not_trusted(place: Place) -> None:
    """What looks like the operator's link may be a container's, which can write to the outer granted path."""
    (place.media / "films").symlink_to(place.secret)
    paths = HostPaths(str(place.data), [], [str(place.media), str(place.media / "films")])
    way = paths.ways([str(place.media / "films/key")], {})[str(place.media / "films/key")]
    assert way.obstacle is not None
    assert way.obstacle.message.startswith(f"{place.media / 'films'} is a symbolic link")


def test_a_link_into_a_containers_reach_is_followed_there_and_no_further(place: Place, tmp_path: Path) -> None:
    (tmp_path / "shortcut").symlink_to(place.media)
    (place.media / "x").symlink_to("/")
    paths = HostPaths(str(place.data), [], [str(place.media), f"{tmp_path}/shortcut/x"])
    ways = paths.ways([f"{tmp_path}/shortcut", f"{tmp_path}/shortcut/x"], {})
    assert ways[f"{tmp_path}/shortcut"].obstacle is None
    assert ways[f"{tmp_path}/shortcut/x"].obstacle is not None


def test_a_granted_path_counts_in_whatever_way_it_is_written(place: Place) -> None:
    (place.media / "x").symlink_to("/")
    for written in (f"/{place.media}", f"{place.media}/", f"{place.media}/../media", f"//{place.media}//."):
        paths = HostPaths(str(place.data), [], [written])
        assert paths.ways([f"{place.media}/x"], {})[f"{place.media}/x"].obstacle, written


def test_what_is_absent_on_the_engines_own_machine_is_no_obstacle(place: Place, monkeypatch: Any) -> None:
    """An engine in a virtual machine may have it, and in it a link that nobody can see from here."""
    absent = f"{place.media}/absent"
    for platform, told in (("linux", False), ("darwin", True)):
        monkeypatch.setattr(sys, "platform", platform)
        ways = HostPaths(str(place.data), [], [absent]).ways([absent, f"{absent}/x"], {})
        assert [way.obstacle is not None for way in ways.values()] == [False, told]


def test_a_circle_of_links_ends(place: Place, tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert "symbolic link" in place.refused(tmp_path / "a")


def test_only_adoptions_own_link_is_followed_and_only_where_it_points(place: Place, tmp_path: Path) -> None:
    project, link = tmp_path / "project/data", place.data / "shop/db"
    (project / "x").mkdir(parents=True)
    link.symlink_to(project)
    links = {str(link): str(project)}
    assert place.refused(link, links) == place.refused(link / "x", links) == ""
    assert place.way(link, links).end == place.way(project).end
    assert place.refused(link)
    assert place.refused(link, {str(link): "/"})
    assert place.refused(link, {str(place.data / "shop/other"): str(project)})
    (project / "y").symlink_to("/")
    assert place.refused(link / "y/etc", links).startswith(f"{link}/y is a symbolic link")
    link.unlink()
    link.symlink_to("/")
    assert place.refused(link, links)


def test_the_target_of_adoptions_link_is_walked_as_well(place: Place, tmp_path: Path) -> None:
    """An adopted folder within another adopted one: its containers may have put a link there."""
    outer = tmp_path / "project/data"
    outer.mkdir(parents=True)
    (outer / "x").symlink_to("/")
    for name, target in (("outer", outer), ("inner", outer / "x")):
        (place.data / name).symlink_to(target)
    links = {str(place.data / "outer"): str(outer), str(place.data / "inner"): str(outer / "x")}
    assert place.refused(place.data / "inner", links).startswith(f"{outer}/x is a symbolic link")
    assert place.refused(place.data / "outer", links) == ""


def test_what_lies_in_what_is_told_by_what_it_is(place: Place, tmp_path: Path) -> None:
    (place.media / "films").mkdir()
    outer, inner = place.way(place.media), place.way(place.media / "films")
    assert inner.lies_in(outer)
    assert not outer.lies_in(inner)
    assert not outer.lies_in(outer)
    assert not inner.lies_in(place.way(place.media / "absent"))


def test_a_granted_path_never_leads_into_the_agents_own_folders(place: Place, tmp_path: Path) -> None:
    state = tmp_path / "state"
    paths = HostPaths(str(place.data), [f"{state}/trees"], (), [str(tmp_path)], [str(state)])
    ways = paths.ways([str(state), f"{state}/journal", f"{state}/trees/x", f"{place.data}/shop", f"{tmp_path}/srv"], {})
    told = [way.obstacle is not None for way in ways.values()]
    assert told == [True, True, False, False, False]


def test_a_file_on_the_way_is_told(place: Place) -> None:
    (place.media / "file").write_text("x")
    assert place.refused(place.media / "file") == ""
    assert place.refused(place.media / "file/below") == f"{place.media}/file is no folder"


def test_a_name_that_no_folder_can_have_is_told(place: Place) -> None:
    assert "cannot be looked at" in place.refused(place.media / ("x" * 300))
    assert "null character" in place.refused(place.media / "a\0b")


def test_what_somebody_else_may_not_enter_is_told_where_links_may_lie() -> None:
    """Below a granted path nothing is assumed; above it, the operator has said that it is right."""
    program = (
        "import os, sys; from reconciler.host_paths import HostPaths; os.setuid(65534)\n"
        "granted, path = sys.argv[1:]\n"
        "way = HostPaths('/nowhere', [], [granted]).ways([path], {})[path]\n"
        "print(way.obstacle.message if way.obstacle else '')"
    )
    if os.getuid():
        pytest.skip("only root can become somebody else")
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        closed = Path(folder) / "closed"
        (closed / "x").mkdir(parents=True)
        closed.chmod(0o700)

        def told(granted: str) -> str:
            command = [sys.executable, "-c", program, granted, str(closed / "x")]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

        assert "cannot be looked at" in told(folder)
        assert "cannot be looked at" in told(str(closed))
        assert told(str(closed / "x")) == ""


def test_a_folder_that_is_swapped_all_the_time_never_leads_out(place: Place) -> None:
    """Whatever is found at whatever moment, nothing beyond the link is ever the end of the way."""
    folder, link = place.data / "shop/data/x", place.data / "shop/data/link"
    folder.mkdir()
    link.symlink_to(place.secret)
    (folder / "key").write_text("harmless")
    inside = {place.way(folder / "key").end, None}
    done = threading.Event()

    def swap() -> None:
        spare = folder.with_name("spare")
        while not done.is_set():
            folder.rename(spare)
            link.rename(folder)
            folder.rename(link)
            spare.rename(folder)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        seen, deadline = list[Way](), time.monotonic() + 60
        while len(seen) < 1000 or (not any(way.obstacle for way in seen) and time.monotonic() < deadline):
            seen.append(place.way(folder / "key"))
    finally:
        done.set()
        swapper.join()
    assert {way.end for way in seen} <= inside
    assert any(way.obstacle for way in seen)
