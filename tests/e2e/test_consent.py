"""What a person has made must be touched by no push before that person has agreed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.e2e.host import Answer, Host, new_host
from tests.e2e.project import Project
from tests.e2e.services import IMAGE, living, stated

pytestmark = pytest.mark.engine

SECRET = "VAULT-SECRET"
VAULT: dict[str, Any] = {"volumes": {"vault": {}}}


@pytest.fixture
def project(
    engine: docker.APIClient, images: dict[str, str], compose_binary: Path, tmp_path: Path
) -> Iterator[Project]:
    """A project that runs, with a secret in its volume and in a folder, and an agent that knows nothing of it."""
    with new_host(tmp_path, compose_binary) as host:
        made = Project(host, {})
        host.configure()
        yield made


def mounting(name: str) -> dict[str, Any]:
    return {name: living("", volumes=["vault:/vault", "./data:/data"])}


def there(project: Project) -> object:
    return project.lives(), project.host.networks(), project.host.volumes()


def held(host: Host) -> Answer:
    turn = host.once()
    assert (turn.code, turn["outcome"], turn["reason"]) == (1, "Held", "ConsentMissing"), turn.document
    return turn


def test_a_foreign_project_must_be_left_alone_until_its_operator_consents(project: Project) -> None:
    host = project.host
    project.write({"compose.yaml": json.dumps({"services": mounting("db"), **VAULT})})
    project.up()
    host.exec("db-1", f"echo {SECRET} >/vault/kept; echo {SECRET} >/data/kept")
    before = there(project)
    for name in ("thief", "db"):
        sha = host.push(mounting(name), **VAULT)
        told = held(host)
        for what in (f"container {host.stack}-db-1", f"network {host.stack}_default", f"volume {host.stack}_vault"):
            assert what in told["message"]
        assert f"`reconciler accept {sha[:12]}`" in told["hint"]
        assert host.plan().code == 1
        assert (there(project), (host.state / "data").exists()) == (before, False)
    assert host.status()["reason"] == "ConsentMissing"
    assert host.run("accept", sha).code == 0
    assert host.once().code == 0
    assert host.exec("db-1", "cat /vault/kept /data/kept") == f"{SECRET}\n{SECRET}"
    assert host.once()["effects"] == 0


def test_a_volume_that_a_person_made_must_not_be_had_by_its_name(project: Project) -> None:
    host = project.host
    host.push({"web": living("")})
    assert host.once().code == 0
    name = f"{host.stack}_vault"
    host.engine.create_volume(name)
    try:
        before = host.machine()
        host.push({"web": living("", volumes=["vault:/vault"])}, **VAULT)
        assert f"volume {name}" in held(host)["message"]
        assert host.machine() == before
        host.configure(adopt=[host.stack])
        assert host.once().code == 0
    finally:
        for container in host.ids().values():
            host.engine.remove_container(container, force=True)
        host.engine.remove_volume(name)


def test_a_container_name_that_a_person_has_given_must_be_waited_for(host: Host) -> None:
    """And nothing is stopped for it, however often it is tried."""
    name = f"{host.stack}-mine"
    host.push({"a": stated("1"), "b": stated("1")})
    assert host.once().code == 0
    before = host.machine()
    theirs = host.engine.create_container(IMAGE, ["true"], name=name)["Id"]
    try:
        host.push({"a": stated("2"), "b": stated("1", container_name=name)})
        assert host.plan().code == 1
        for _ in range(2):
            turn = host.once()
            assert (turn.code, turn["outcome"], turn["reason"]) == (3, "Failed", "DependencyNotReady"), turn.document
            assert name in turn["message"]
            assert host.machine() == before
    finally:
        host.engine.remove_container(theirs)
    assert host.once().code == 0
