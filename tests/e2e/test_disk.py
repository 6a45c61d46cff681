"""Disk usage does not grow: objects that nothing needs are removed, all others stay."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.host import Host
from tests.e2e.services import BROKEN, IMAGE, living
from tests.e2e.together import Together

pytestmark = pytest.mark.engine
together = Together()

DOCKERFILE = f"FROM {IMAGE}\nCOPY text /text\n"
QUICK = {"gate": {"min_healthy_time": "200ms", "healthy_deadline": "12s", "progress_deadline": "30s"}}
KEPT = 3


def push(host: Host, version: str, **more: Any) -> str:
    """One service that is built, a mount and a volume; everything except the volume is different in each version."""
    app = living("", build="./app", configs=[{"source": "conf", "target": "/conf"}], volumes=["data:/data"], **more)
    services = {"app": {**app, "image": None} if "image" not in more else app}
    services = {"app": {key: value for key, value in services["app"].items() if value is not None}}
    files = {"app/Dockerfile": DOCKERFILE, "app/text": version, "conf": version}
    return host.push(services, files, stack=QUICK, volumes={"data": {}}, configs={"conf": {"file": "./conf"}})


def roll(host: Host, version: str, **more: Any) -> str:
    sha = push(host, version, **more)
    turn = host.once()
    assert (turn.code, turn["outcome"]) == (0, "Succeeded"), turn["message"]
    assert host.exec("app-1", "cat /text /conf") == version * 2
    return sha


def own_images(host: Host) -> dict[str, str]:
    """Tag of each image that the agent has built → the image's id."""
    listed = host.engine.images(filters={"reference": f"reconciler/{host.stack}-*"})
    return {tag: image["Id"] for image in listed for tag in image["RepoTags"] if tag.startswith("reconciler/")}


def exists(host: Host, image: str) -> bool:
    return any(image in (item["Id"], *(item["RepoTags"] or ())) for item in host.engine.images())


def dangling(host: Host) -> int:
    """The number of images of this stack's builds without a tag."""
    label = f"com.docker.compose.project={host.stack}"
    return len(host.engine.images(filters={"label": label, "dangling": True}))


def disk_use(folder: Path) -> int:
    """Used bytes on the disk."""
    paths = [folder, *folder.rglob("*")]
    return sum(os.lstat(path).st_blocks * 512 for path in paths)


def entries(host: Host, folder: str) -> int:
    return len(os.listdir(host.state / folder))


@together.with_one_compose
def test_a_dozen_commits_must_leave_no_more_than_three(host: Host) -> None:
    shas = [roll(host, f"v{n:02}") for n in range(3)]
    images = len(host.engine.images(filters={"label": f"com.docker.compose.project={host.stack}"}))
    assert images == KEPT
    for n in range(3, 12):
        shas.append(roll(host, f"v{n:02}"))
        assert (len(own_images(host)), entries(host, "trees"), entries(host, "rendered")) == (KEPT, KEPT, KEPT)
    assert dangling(host) == 0
    assert host.volumes() == {f"{host.stack}_data"}
    assert host.once()["effects"] == 0
    host.revert(shas[-2])
    assert not {step["action"] for step in host.plan()["steps"]} & {"Pull", "Build"}
    assert host.once()["outcome"] == "Succeeded"
    assert host.exec("app-1", "cat /text") == "v10"


@together.with_one_compose
def test_images_that_foreign_containers_or_tags_use_must_stay(host: Host) -> None:
    foreign = f"{host.stack}-foreign"
    host.stacks.append(foreign)
    roll(host, "one")
    tagged = host.container("app")["Image"]
    host.engine.tag(tagged, f"{host.stack}-backup", "of-a-person")
    roll(host, "two")
    used = host.container("app")["Image"]
    labels = {"com.docker.compose.project": foreign}
    theirs = host.engine.create_container(used, ["true"], labels=labels)["Id"]
    host.engine.tag(IMAGE, f"reconciler/{host.stack}-app", "by-a-person")
    before = host.engine.inspect_container(theirs)
    for version in ("three", "four", "five", "six"):
        roll(host, version)
    assert exists(host, f"{host.stack}-backup:of-a-person")
    assert not any(image == tagged for image in own_images(host).values())
    assert used in own_images(host).values()
    assert exists(host, f"reconciler/{host.stack}-app:by-a-person")
    assert host.engine.inspect_container(theirs) == before
    host.engine.remove_container(theirs)
    roll(host, "seven")
    assert not exists(host, used)


@together.with_every_compose
def test_bad_commits_must_leave_the_rollback_and_nothing_else(host: Host) -> None:
    roll(host, "good")
    good = host.container("app")["Image"]
    bad = {key: value for key, value in BROKEN.items() if key != "image"}
    for n in range(3):
        push(host, f"bad{n}", **bad)
        turn = host.once()
        assert turn["outcome"] == "RolledBack", turn["message"]
        assert host.container("app")["Image"] == good
        assert (len(own_images(host)), entries(host, "trees"), entries(host, "rendered")) == (2, 2, 2)
    assert not exists(host, f"{host.stack}-app:latest")
    host.engine.remove_container(host.container("app")["Id"], force=True)
    assert host.once()["outcome"] == "Succeeded"
    assert host.container("app")["Image"] == good


@together.with_one_compose
def test_an_image_name_in_a_commit_must_not_become_a_tag(host: Host) -> None:
    for n in range(2):
        roll(host, f"v{n}", image=f"{host.stack}-named:{n}")
    assert not host.engine.images(f"{host.stack}-named")


@together.with_one_compose
def test_garbage_collection_must_complete_after_a_crash(host: Host) -> None:
    for n in range(3):
        roll(host, f"v{n}")
    push(host, "measured")
    effects = host.once()["effects"]
    for n, back in enumerate((1, 3, 4, 6)):
        push(host, f"crash{n}")
        host.crash(effects - back)
        host.once()
        host.once()
        assert host.once()["effects"] == 0
        assert host.exec("app-1", "cat /text") == f"crash{n}"
        assert (len(own_images(host)), entries(host, "trees"), entries(host, "rendered")) == (KEPT, KEPT, KEPT), back
