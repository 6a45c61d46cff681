"""Containers replace folders by links: nothing of the host is mounted or created through such a link."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.host import Host, eventually
from tests.e2e.project import Project
from tests.e2e.services import living, stated
from tests.e2e.together import Together

pytestmark = pytest.mark.engine
together = Together()

SECRET = "only root may read this"
OTHERS = {"web": stated("1"), "db": stated("1")}
"""Further services, so that no commit drops most of the services at once."""

SWAP = "while :; do rm -rf /d/x; mkdir /d/x; rmdir /d/x; ln -s {target} /d/x; done"


def data(host: Host, path: str = "data") -> Path:
    return host.state / "data" / host.stack / "compose/stack" / path


def private(host: Host) -> Path:
    """A folder of the host that no container may see."""
    folder = host.folder / "private"
    if not folder.exists():
        folder.mkdir(mode=0o700)
        (folder / "key").write_text(SECRET)
        (folder / "key").chmod(0o600)
    return folder


def planter(host: Host, source: str = "./data") -> dict[str, Any]:
    return living(f"rm -rf /d/x; ln -s {private(host)} /d/x", volumes=[f"{source}:/d"])


def reader(*sources: str) -> dict[str, Any]:
    """A service that prints the file `key` in each of its mounts into its log, and tries to write there."""
    mounted = [f"{source}:/h{n}" for n, source in enumerate(sources)]
    return living("for d in /h*; do cat $d/key; touch $d/was-here; done", volumes=mounted)


def planted(host: Host, services: dict[str, Any], link: Path) -> None:
    """Apply a first commit, and wait until its container has made the link."""
    host.push(services)
    assert host.once().code == 0
    eventually(link.is_symlink)


def assert_untouched(host: Host) -> None:
    folder = private(host)
    assert [item.name for item in folder.iterdir()] == ["key"]
    for name in host.containers():
        assert SECRET not in str(host.engine.logs(name))


def assert_held(host: Host, link: Path) -> None:
    """The newest commit is held and says what to do; the running containers stay."""
    before = host.machine()
    turn = host.once()
    assert (turn.code, turn["outcome"], turn["reason"]) == (1, "Held", "PolicyViolation"), turn.document
    assert f"{link} is a symbolic link" in turn["message"]
    assert f"`rm {link}`" in turn["hint"]
    assert host.machine() == before
    assert_untouched(host)


@together.with_one_compose
def test_a_mount_in_a_folder_that_another_service_writes_must_be_rejected(host: Host) -> None:
    waits = {"depends_on": {"a": {"condition": "service_started"}}}
    sha = host.push({"a": planter(host), "b": {**reader("./data/x"), **waits}, **OTHERS})
    judged = host.validate(sha)
    assert [(item["rule"], item["service"]) for item in judged["violations"] if item["level"] == "deny"] == [
        ("nested-mount", "b")
    ]
    turn = host.once()
    assert (turn.code, turn["outcome"], turn["reason"]) == (1, "Rejected", "PolicyViolation")
    assert host.containers() == {}
    assert_untouched(host)


@together.with_one_compose
def test_a_link_made_by_a_container_must_hold_a_commit_that_mounts_it(host: Host) -> None:
    link = data(host, "data/x")
    planted(host, {"a": planter(host), **OTHERS}, link)
    host.push({"b": reader("./data/x"), **OTHERS})
    assert_held(host, link)
    link.unlink()
    turn = host.once()  # the container that made the link could be started again by a rollback
    assert (turn.code, turn["outcome"], turn["reason"]) == (1, "Held", "PolicyViolation"), turn.document
    assert f"{host.stack}/a does not mount {link.parent} any more" in turn["hint"]
    link.symlink_to(private(host))
    host.push(OTHERS)
    assert host.once().code == 0
    for source in ("./data/x/made/by/the/agent", "./data/x"):
        host.push({"b": reader(source), **OTHERS})
        assert_held(host, link)
    link.unlink()
    turn = host.once()
    assert turn.code == 0, turn.document
    assert data(host, "data/x").is_dir()
    assert_untouched(host)


@together.with_one_compose
def test_a_link_in_a_granted_path_must_hold_a_commit_that_mounts_it(host: Host) -> None:
    media = host.folder / "media"
    (media / "films").mkdir(parents=True)
    alias = host.folder / "srv"
    alias.symlink_to(media)
    host.configure(binds=[{"path": "/srv", "host": str(alias), "read_only": False, "reason": "media"}])
    planted(host, {"a": planter(host, "/srv"), **OTHERS}, media / "x")
    host.push(OTHERS)
    assert host.once().code == 0
    host.push({"b": reader("/srv/x", "/srv/films"), **OTHERS})
    assert_held(host, alias / "x")
    host.push({"b": reader("/srv/films"), **OTHERS})
    assert host.once().code == 0
    assert (media / "films/was-here").exists()


@together.with_one_compose
def test_a_link_in_an_adopted_folder_must_hold_a_commit_that_mounts_it(host: Host) -> None:
    """The link that adoption itself has made is followed; links inside the folder are not."""
    others = {name: living("") for name in OTHERS}
    before = {**others, "a": living("", volumes=["./data:/d"])}
    project = Project(host, {"compose.yaml": json.dumps({"services": before}), "data/kept": "x"})
    project.write({".gitignore": "data/\n"})
    project.up()
    assert project.init().code == 0
    project.commit()
    assert project.once().code == 0
    link = host.state / "data" / host.stack / "data"
    assert link.is_symlink()
    host.exec("a-1", f"ln -s {private(host)} /d/x")
    for services in ({**before, "b": reader("./data/x")}, {**others, "b": reader("./data/x")}):
        project.commit({"compose.yaml": json.dumps({"services": services})})
        turn = project.once()
        assert turn["reason"] == "PolicyViolation", turn["message"]
    project.commit({"compose.yaml": json.dumps({"services": others})})
    assert project.once().code == 0
    for source in ("./data/x/made", "./data/x"):
        project.commit({"compose.yaml": json.dumps({"services": {**others, "b": reader(source)}})})
        turn = project.once()
        assert (turn["outcome"], turn["message"].partition(" is ")[0]) == ("Held", f"{link}/x"), turn.document
        assert_untouched(host)
    project.commit({"compose.yaml": json.dumps({"services": {**others, "b": reader("./data")}})})
    assert project.once().code == 0
    assert (project.folder / "data/was-here").exists()


@together.with_one_compose
def test_a_container_must_not_be_started_again_over_a_link(host: Host) -> None:
    """The stopped container is drift, but its mount is now a link."""
    link = data(host, "data/x")
    host.push({"b": reader("./data/x"), **OTHERS})
    assert host.once().code == 0
    name = f"{host.stack}-b-1"
    host.engine.stop(name, timeout=0)
    shutil.rmtree(link)
    link.symlink_to(private(host))
    turn = host.once()
    assert turn.code == 3, turn.document
    assert f"{link} is a symbolic link" in turn["message"]
    assert host.states()["b-1"] == "exited"
    assert_untouched(host)
    link.unlink()
    assert host.once().code == 0
    assert host.states()["b-1"] == "running"


@together.with_one_compose
def test_a_commit_must_wait_for_a_missing_granted_path(host: Host) -> None:
    disk = host.folder / "disk"
    host.configure(binds=[{"path": str(disk), "read_only": False, "reason": "a disk"}])
    host.push({"b": reader(f"{disk}/films"), **OTHERS})
    turn = host.once()
    assert (turn.code, turn["outcome"], turn["reason"]) == (3, "Failed", "FileMissing"), turn.document
    assert f"{disk}/films is not there" in turn["message"]
    assert not disk.exists()
    assert host.status()["quarantinedRevisions"] == []
    (disk / "films").mkdir(parents=True)
    turn = host.once()
    assert turn.code == 0, turn.document
    host.engine.stop(f"{host.stack}-b-1", timeout=0)
    shutil.rmtree(disk)
    assert host.once().code == 3  # the disk went away while its container did not run
    (disk / "films").mkdir(parents=True)
    assert host.once().code == 0  # the wait ends when the disk is back
    assert host.states()["b-1"] == "running"


def fight(host: Host, rounds: int) -> None:
    """A container replaces a folder by a link as fast as it can, while commits try to mount it in every way."""
    swapper = living(SWAP.format(target=private(host)), volumes=["./data:/d"])
    host.push({"a": swapper, **OTHERS})
    assert host.once().code == 0
    for _ in range(rounds):
        for services in (
            {"a": swapper, "b": reader("./data/x")},
            {"a": swapper, "b": reader("./data/x/sub")},
            {"b": reader("./data/x")},
            {"a": {**swapper, "volumes": ["./data:/d", "./data/x:/h"]}},
            {"a": {**swapper, "volumes": ["./data/x:/d"]}},
        ):
            host.push({**services, **OTHERS})
            turn = host.once()
            assert turn["outcome"] in ("Rejected", "Held"), turn.document
            assert turn["reason"] == "PolicyViolation", turn["message"]
            assert host.states()["a-1"] == "running"
            assert_untouched(host)


@together.with_one_compose
def test_a_container_that_swaps_folder_and_link_must_gain_nothing(host: Host) -> None:
    fight(host, 1)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_container_that_swaps_folder_and_link_for_long_must_gain_nothing(host: Host) -> None:
    fight(host, 20)
