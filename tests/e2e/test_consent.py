"""A push touches an object that a person has made only after the operator has consented."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from reconciler.formats.cidr import range_of
from reconciler.observe.routes import of_this_machine
from tests.conftest import some_subnet
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
    """A running project with a secret in its volume and in a folder, and an agent that does not know it."""
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
    assert project.init()["adopt"] == [host.stack], "what the agent config in force lacks"
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


def test_a_volume_that_a_person_made_must_not_be_used_without_consent(project: Project) -> None:
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


def test_a_commit_must_wait_while_a_foreign_container_has_its_container_name(host: Host) -> None:
    """Until then nothing is stopped, however often the commit is tried."""
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


def test_a_subnet_that_the_machine_or_the_engine_uses_must_not_be_taken(host: Host) -> None:
    """Not even with a grant: else the machine's own traffic would go to the commit's containers."""
    # Looked at twice: a bridge that another test makes between the two lists is in the second list of bridges.
    looks = [of_this_machine(_bridges(host)) for _ in range(2)]
    used = [found for claim in looks[0] if claim in looks[1] and (found := range_of(claim.range)) is not None]
    own = next(str(item) for item in used if item.version == 4 and not item.is_loopback)
    subnet = f"{some_subnet()}.0/24"  # the engine gives none of these to another test
    pool = docker.types.IPAMConfig(pool_configs=[docker.types.IPAMPool(subnet=subnet)])
    theirs = host.engine.create_network(f"{host.stack}-theirs", ipam=pool)["Id"]
    try:
        for granted in ([], ["0.0.0.0/0"]):
            host.configure(address_pool=granted)
            for taken in (own, subnet):
                host.push({"web": stated("1", networks=["lan"])}, networks=_lan(taken))
                turn = host.once()
                wanted = (3, "Failed", "DependencyNotReady") if granted else (1, "Rejected", "PolicyViolation")
                assert (turn.code, turn["outcome"], turn["reason"]) == wanted, turn.document
                assert (host.networks(), host.ids()) == ({}, {})
        assert f"the network {host.stack}-theirs of the engine" in turn["message"]
    finally:
        host.engine.remove_network(theirs)
    assert host.once().code == 0


def _lan(subnet: str) -> dict[str, Any]:
    return {"lan": {"ipam": {"config": [{"subnet": subnet}]}}}


def _bridges(host: Host) -> set[str]:
    named = "com.docker.network.bridge.name"
    return {item["Options"].get(named) or f"br-{item['Id'][:12]}" for item in host.engine.networks()}
