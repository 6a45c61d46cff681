"""The engine gets networks, volumes and endpoints with everything in Compose's definition."""

from __future__ import annotations

import uuid
from typing import Any

import docker
import pytest

from reconciler.act.engine import EngineApplier
from reconciler.effects import Effects
from reconciler.errors import RolloutFailed, Transient
from reconciler.model.desired import Endpoint, Network, Volume
from reconciler.model.outcome import Reason
from tests.conftest import some_subnet

pytestmark = pytest.mark.engine


@pytest.fixture
def effects() -> Effects:
    return Effects()


@pytest.fixture
def applier(engine: docker.APIClient, effects: Effects) -> EngineApplier:
    return EngineApplier(engine, effects, "mini")


def network(stack: str, definition: dict[str, Any], key: str = "back") -> Network:
    return Network(stack, key, f"{stack}_{key}", definition, f"digest of {sorted(definition)}")


def sleeper(engine: docker.APIClient, image: str, stack: str, **host: Any) -> str:
    labels = {"com.docker.compose.project": stack, "dev.reconciler.host": "mini"}
    config = engine.create_host_config(**host)
    return str(engine.create_container(image, ["sleep", "60"], labels=labels, host_config=config)["Id"])


def test_whole_definition_reaches_the_engine(
    engine: docker.APIClient, applier: EngineApplier, effects: Effects, stack_name: str
) -> None:
    subnet = some_subnet()
    pool = {
        "subnet": f"{subnet}.0/24",
        "gateway": f"{subnet}.254",
        "ip_range": f"{subnet}.128/25",
        "aux_addresses": {"router": f"{subnet}.200"},
    }
    definition = {
        "driver": "bridge",
        "driver_opts": {"com.docker.network.driver.mtu": 1400, "com.docker.network.bridge.enable_icc": False},
        "ipam": {"driver": "default", "config": [pool], "options": {"k": "v"}},
        "internal": True,
        "attachable": True,
        "labels": {"team": "shop", "count": 3},
    }
    wanted = network(stack_name, definition)
    applier.create_network(wanted)
    made = engine.inspect_network(wanted.name)
    assert (made["Driver"], made["Internal"], made["Attachable"]) == ("bridge", True, True)
    assert made["Options"] == {
        "com.docker.network.driver.mtu": "1400",
        "com.docker.network.bridge.enable_icc": "false",
    }
    assert made["IPAM"] == {
        "Driver": "default",
        "Options": {"k": "v"},
        "Config": [
            {
                "Subnet": f"{subnet}.0/24",
                "IPRange": f"{subnet}.128/25",
                "Gateway": f"{subnet}.254",
                "AuxiliaryAddresses": {"router": f"{subnet}.200"},
            }
        ],
    }
    assert made["Labels"] == {
        "team": "shop",
        "count": "3",
        "com.docker.compose.project": stack_name,
        "com.docker.compose.network": "back",
        "dev.reconciler.host": "mini",
        "dev.reconciler.stack": stack_name,
        "dev.reconciler.spec": wanted.digest,
    }
    assert effects.count == 1
    assert applier.has_made(wanted.name)


def test_six_reaches_the_engine(engine: docker.APIClient, applier: EngineApplier, stack_name: str) -> None:
    pools = [{"subnet": f"fd00:{uuid.uuid4().hex[:4]}:{uuid.uuid4().hex[:4]}::/64"}]
    wanted = network(stack_name, {"enable_ipv6": True, "ipam": {"config": pools}})
    applier.create_network(wanted)
    assert engine.inspect_network(wanted.name)["EnableIPv6"]


def test_pool_in_use_is_the_machines_fault(applier: EngineApplier, stack_name: str) -> None:
    pool = {"ipam": {"config": [{"subnet": f"{some_subnet()}.0/24"}]}}
    applier.create_network(network(stack_name, pool))
    with pytest.raises(RolloutFailed) as refused:
        applier.create_network(network(stack_name, pool, "front"))
    assert refused.value.failure.reason is Reason.DEPENDENCY_NOT_READY
    assert f"{stack_name}_front" in refused.value.message


def test_nonsense_is_the_commits_fault(applier: EngineApplier, stack_name: str) -> None:
    with pytest.raises(RolloutFailed) as refused:
        applier.create_network(network(stack_name, {"ipam": {"config": [{"subnet": "10.213.81.0/99"}]}}))
    assert refused.value.failure.reason is Reason.ENGINE_REFUSED


def test_network_of_somebody_else_is_not_removed(
    engine: docker.APIClient, applier: EngineApplier, effects: Effects, stack_name: str
) -> None:
    name = f"{stack_name}_theirs"
    engine.create_network(name, labels={"com.docker.compose.project": stack_name, "dev.reconciler.host": "other"})
    applier.remove_network(name)
    assert engine.inspect_network(name)["Name"] == name
    assert not applier.has_made(name)
    assert effects.count == 0


def test_stopped_containers_of_others_keep_their_network(
    engine: docker.APIClient, applier: EngineApplier, images: dict[str, str], stack_name: str
) -> None:
    wanted = network(stack_name, {})
    applier.create_network(wanted)
    config = engine.create_host_config(network_mode=wanted.name)
    labels = {"com.docker.compose.project": stack_name}
    other = engine.create_container(images["actor"], ["sleep", "60"], labels=labels, host_config=config)["Id"]
    engine.start(other)
    applier.remove_network(wanted.name)
    assert wanted.name in engine.inspect_container(other)["NetworkSettings"]["Networks"]
    assert applier.has_made(wanted.name)


def test_volume_is_labelled_as_composes(engine: docker.APIClient, applier: EngineApplier, stack_name: str) -> None:
    definition = {"driver_opts": {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}, "labels": {"team": "shop"}}
    applier.create_volume(Volume(stack_name, "cache", f"{stack_name}_cache", definition))
    made = engine.inspect_volume(f"{stack_name}_cache")
    assert made["Options"] == {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
    assert made["Labels"] == {
        "team": "shop",
        "com.docker.compose.project": stack_name,
        "com.docker.compose.volume": "cache",
        "dev.reconciler.host": "mini",
        "dev.reconciler.stack": stack_name,
    }


def test_paths_behind_volumes_are_among_those_that_are_looked_at_before_a_start(
    engine: docker.APIClient, applier: EngineApplier, images: dict[str, str], stack_name: str
) -> None:
    """The engine follows them whenever it mounts, and a link may have been made there since the container was
    created."""
    name = f"{stack_name}_films"
    bound = {"driver_opts": {"type": "none", "o": "bind,ro", "device": "/tmp//."}}
    applier.create_volume(Volume(stack_name, "films", name, bound))
    plain = Volume(stack_name, "plain", f"{stack_name}_plain", {})
    applier.create_volume(plain)
    container = sleeper(engine, images["actor"], stack_name, binds=[f"{name}:/films", f"{plain.name}:/p", "/usr:/u:ro"])
    assert sorted(applier.bound(container)) == ["/tmp", "/usr"]


def test_whole_endpoint_reaches_the_engine(
    engine: docker.APIClient, applier: EngineApplier, effects: Effects, images: dict[str, str], stack_name: str
) -> None:
    subnet = some_subnet()
    wanted = network(stack_name, {"ipam": {"config": [{"subnet": f"{subnet}.0/24"}]}})
    applier.create_network(wanted)
    container = sleeper(engine, images["actor"], stack_name)
    # Engine 26 takes no other hardware address than the one that belongs to the IP address.
    mac = "02:42:" + ":".join(f"{int(number):02x}" for number in f"{subnet}.7".split("."))
    endpoint = Endpoint(wanted.name, ("web", "www"), ipv4=f"{subnet}.7", mac=mac)
    applier.connect(container, endpoint)
    engine.start(container)
    made = engine.inspect_container(container)["NetworkSettings"]["Networks"][wanted.name]
    assert {"web", "www"} <= set(made["Aliases"])
    assert (made["IPAddress"], made["MacAddress"]) == (f"{subnet}.7", mac)
    before = effects.count
    applier.connect(container, endpoint)
    assert effects.count == before


def test_new_alias_takes_the_place_of_the_old_endpoint(
    engine: docker.APIClient, applier: EngineApplier, effects: Effects, images: dict[str, str], stack_name: str
) -> None:
    wanted = network(stack_name, {})
    applier.create_network(wanted)
    container = sleeper(engine, images["actor"], stack_name, network_mode=wanted.name)
    engine.start(container)
    before = effects.count
    applier.connect(container, Endpoint(wanted.name, ("web",)))
    made = engine.inspect_container(container)["NetworkSettings"]["Networks"][wanted.name]
    assert "web" in made["Aliases"]
    assert effects.count == before + 2


def test_missing_mount_is_refused_with_its_path(
    engine: docker.APIClient, applier: EngineApplier, images: dict[str, str], stack_name: str, tmp_path: Any
) -> None:
    source = tmp_path / "config"
    source.mkdir()
    mount = docker.types.Mount("/config", str(source), type="bind")
    container = sleeper(engine, images["actor"], stack_name, mounts=[mount])
    source.rmdir()
    with pytest.raises(RolloutFailed, match=str(source)) as refused:
        applier.start(container)
    assert refused.value.failure.reason is Reason.DEPENDENCY_NOT_READY, "a disk that is away quarantines no commit"


def test_every_call_is_announced_before_it_is_made(
    engine: docker.APIClient, images: dict[str, str], stack_name: str
) -> None:
    """An effect that is killed at its announcement has not happened."""

    class Died(BaseException): ...

    def die() -> None:
        raise Died

    container = sleeper(engine, images["actor"], stack_name)
    with pytest.raises(Died):
        EngineApplier(engine, Effects(1, die), "mini").start(container)
    assert engine.inspect_container(container)["State"]["Status"] == "created"


def test_removing_what_runs_is_refused_and_touches_nothing(
    engine: docker.APIClient, applier: EngineApplier, images: dict[str, str], stack_name: str
) -> None:
    container = sleeper(engine, images["actor"], stack_name)
    engine.start(container)
    with pytest.raises(Transient, match="running"):
        applier.remove(container)
    assert engine.inspect_container(container)["State"]["Running"]
