"""A running project is adopted without a restart and without any loss of data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
import yaml

from tests.e2e.host import KILLED, Host, new_host
from tests.e2e.project import Project
from tests.e2e.services import living

pytestmark = pytest.mark.engine

PLACES = ("/named", "/anonymous", "/store", "/data")


def compose_file(version: str, program: str = "") -> str:
    """A store with data in one named volume, two anonymous volumes and a bind mount; and a client that mounts a file of
    the project."""
    places = ["named:/named", "/anonymous", "./data:/data"]
    store = living(
        program, image="reconciler-test/store", volumes=places, mem_limit=None, environment={"VERSION": version}
    )
    client = living("", volumes=["./conf:/etc/conf"], mem_limit=None, depends_on=["store"])
    return json.dumps({"services": {"store": store, "client": client}, "volumes": {"named": {}}}, indent=1)


@pytest.fixture
def project(
    engine: docker.APIClient, images: dict[str, str], compose_binary: Path, tmp_path: Path
) -> Iterator[Project]:
    with new_host(tmp_path, compose_binary) as host:
        files = {"compose.yaml": compose_file("1"), "conf/a.conf": "one\n", "conf/more/b.conf": "two\n"}
        yield Project(host, files)


def bytes_of(host: Host) -> list[str]:
    return [host.exec("store-1", f"cat {place}/kept") for place in PLACES]


def test_data_of_every_kind_must_survive_adoption_change_broken_commit_and_revert(project: Project) -> None:
    host = project.host
    project.up()
    for place in PLACES:
        host.exec("store-1", f"echo bytes of {place} >{place}/kept")
    kept, before = bytes_of(host), project.lives()

    made = project.init()
    assert (made.code, made["restarts"], made["adopt"]) == (0, [], []), made.document
    assert yaml.safe_load(host.config.read_text())["adopt"] == [host.stack]
    assert {item["origin"] for item in made["stacks"][0]["services"]} == {"measured"}
    project.commit()
    planned = project.plan()
    assert planned["restarts"] == [], planned.document
    first = project.once()
    assert (first.code, first["outcome"]) == (0, "Succeeded"), first.document
    assert project.lives() == before
    assert project.once()["effects"] == 0
    assert bytes_of(host) == kept

    project.commit({"compose.yaml": compose_file("2")})
    second = project.once()
    assert (second.code, second["outcome"]) == (0, "Succeeded"), second.document
    after = project.lives()
    assert [name for name in before if before[name] != after.get(name)] == [f"{host.stack}-store-1"]
    assert bytes_of(host) == kept

    project.commit({"compose.yaml": compose_file("3", "exit 3")})
    third = project.once()
    assert (third.code, third["outcome"]) == (1, "RolledBack"), third.document
    assert {name: id for name, (id, _) in project.lives().items()} == {name: id for name, (id, _) in after.items()}
    assert bytes_of(host) == kept

    project.revert()
    assert project.once().code == 0
    project.commit({"compose.yaml": compose_file("1")})
    assert project.once()["outcome"] == "Succeeded"
    assert bytes_of(host) == kept
    assert (project.folder / "data/kept").read_text() == "bytes of /data\n"
    assert project.lives()[f"{host.stack}-client-1"] == before[f"{host.stack}-client-1"]
    assert project.once()["effects"] == 0


def test_a_broken_first_commit_must_leave_what_ran_before(project: Project) -> None:
    host = project.host
    project.up()
    for place in PLACES:
        host.exec("store-1", f"echo bytes of {place} >{place}/kept")
    kept, before = bytes_of(host), host.ids()
    assert project.init().code == 0
    project.commit({"compose.yaml": compose_file("9", "exit 3")})
    first = project.once()
    assert (first.code, first["outcome"]) == (1, "RolledBack"), first.document
    assert host.ids() == before
    assert set(host.states().values()) == {"running"}
    assert bytes_of(host) == kept
    assert project.once()["effects"] == 0
    project.commit({"compose.yaml": compose_file("1")})
    assert project.once()["outcome"] == "Succeeded"
    assert host.ids() == before
    assert bytes_of(host) == kept


def test_a_kill_in_the_middle_of_an_adoption_must_restart_nothing(project: Project) -> None:
    host = project.host
    project.up()
    host.exec("store-1", "echo kept >/anonymous/kept")
    before = project.lives()
    assert project.init().code == 0
    sha = project.commit()
    for effect in ("3", "6"):
        assert host.once(RECONCILER_CRASH_AT=effect, **project.environment).code == KILLED
        assert project.lives() == before
    turn = project.once()
    assert (turn.code, turn["outcome"], turn["revision"]) == (0, "Succeeded", sha), turn.document
    assert project.lives() == before
    assert host.exec("store-1", "cat /anonymous/kept") == "kept"
    assert project.once()["effects"] == 0


def test_a_project_of_several_files_a_profile_and_a_password_is_adopted_as_it_runs(project: Project) -> None:
    host = project.host
    debug = {"services": {"client": {"environment": {"MORE": "1"}}, "debug": living("", profiles=["debug"])}}
    asks = {"services": {"store": {"environment": {"PASSWORD": "${PASSWORD:?}", "TAG": "${TAG:?}"}}}}
    project.write({
        "more.yaml": json.dumps(debug), "asks.yaml": json.dumps(asks),
        ".env": "PASSWORD=hunter2 and more\nTAG=1.2\n",
    })  # fmt: skip
    project.up("-f", "compose.yaml", "-f", "more.yaml", "-f", "asks.yaml", "--profile", "debug")
    before = project.lives()
    made = project.init()
    assert (made.code, made["restarts"], made["left"]) == (0, [], []), made.document
    document = yaml.safe_load((project.folder / f"desired-state/{host.name}.yaml").read_text())
    [stack] = document["spec"]["stacks"]
    assert stack["files"][:3] == ["compose.yaml", "more.yaml", "asks.yaml"]
    assert (stack["profiles"], stack["env"]) == (["debug"], {"TAG": "1.2"})
    project.commit()
    assert ".env" not in project.git("ls-files").splitlines()
    first = project.once()
    assert (first.code, first["outcome"]) == (0, "Succeeded"), first.document
    assert project.lives() == before
