"""A container that runs beside the one that it replaces: without the service's aliases, until it gets them."""

from __future__ import annotations

import json
import os
import subprocess

import docker
import pytest

from reconciler.formats.create_file import create_file, escaped
from reconciler.model.creation import Creation
from reconciler.model.desired import Endpoint
from tests.conftest import engine_address
from tests.contract.conftest import ComposeApplier
from tests.contract.services import attached
from tests.contract.worlds import World
from tests.fakes.behaviour import Behaviour


def aliases(world: World, container: str, network: str) -> frozenset[str]:
    found: frozenset[str] = world.detail(container).facts["networks"][network]["aliases"]
    return found & {"web", "www"}


def test_it_starts_without_aliases_and_gets_them_while_it_runs(world: World) -> None:
    network = world.network().name
    endpoint = Endpoint(network, ("web", "www"))
    service = attached(world.service("web"), endpoint)
    [old] = world.create(service)
    [new] = world.create(service)
    for container in (old, new):
        assert aliases(world, container.id, network) == {"web", "www"}, "as Compose makes it"
    world.applier.start(old.id)
    world.applier.connect_apart(new.id, endpoint)
    world.applier.start(new.id)
    assert aliases(world, new.id, network) == frozenset()
    assert world.detail(new.id).networks == {network}
    world.applier.connect(new.id, endpoint)
    assert aliases(world, new.id, network) == {"web", "www"}
    assert aliases(world, old.id, network) == {"web", "www"}
    assert world.detail(new.id).state == "running"


def test_a_second_call_changes_nothing(world: World) -> None:
    network = world.network().name
    endpoint = Endpoint(network, ("web",))
    [new] = world.create(attached(world.service("web"), endpoint))
    world.applier.connect_apart(new.id, endpoint)
    before = world.detail(new.id)
    world.applier.connect_apart(new.id, endpoint)
    assert world.detail(new.id) == before


def test_a_standby_comes_back_without_aliases(world: World) -> None:
    """As in a rollback: it had the aliases before."""
    network = world.network().name
    endpoint = Endpoint(network, ("web",))
    [item] = world.create(attached(world.service("web"), endpoint))
    world.applier.start(item.id)
    world.applier.stop_all({item.id: 1.0})
    world.applier.connect_apart(item.id, endpoint)
    world.applier.start(item.id)
    assert aliases(world, item.id, network) == frozenset()
    assert world.detail(item.id).networks == {network}


@pytest.mark.engine
def test_plain_compose_accepts_what_was_started_first(world: World, engine: docker.APIClient) -> None:
    """`up -d` with exactly the file that the containers were created from."""
    if not isinstance(world.applier, ComposeApplier):
        pytest.skip("the fake machine has no Compose")
    network = world.network()
    endpoint = Endpoint(network.name, ("web",))
    first, second = (attached(world.service("web", Behaviour(log=(text,))), endpoint) for text in ("one", "two"))
    [old] = world.create(first)
    world.applier.start(old.id)
    [new] = world.create(second)
    world.applier.connect_apart(new.id, endpoint)
    world.applier.start(new.id)
    world.applier.connect(new.id, endpoint)
    world.applier.stop_all({old.id: 1.0})
    world.applier.remove(old.id)
    world.applier.rename(new.id, f"{world.stack}-web-1")
    world.applier.update(new.id, "always")
    before = engine.inspect_container(new.id)
    document = escaped(create_file([Creation(second, 1, {}, {})], {network.name: network.key}))
    project = [world.applier.compose, "-p", world.stack, "--project-directory", "/", "-f", "-"]
    told = subprocess.run(
        [*project, "up", "-d", "--pull", "never"],
        input=json.dumps(document).encode(), capture_output=True, timeout=120, check=False,
        env={"PATH": os.environ["PATH"], "DOCKER_HOST": engine_address()},
    )  # fmt: skip
    assert told.returncode == 0, told.stderr.decode()
    after = engine.inspect_container(new.id)
    assert [item.id for item in world.containers("web")] == [new.id]
    for key in ("StartedAt", "Pid"):
        assert after["State"][key] == before["State"][key], told.stderr.decode()
    assert after["NetworkSettings"]["Networks"] == before["NetworkSettings"]["Networks"]
