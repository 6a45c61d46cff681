"""Names, numbers, networks, volumes, ports and namespaces: the same in memory and on every real engine."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from reconciler.errors import RolloutFailed, Transient
from reconciler.model.desired import Endpoint
from reconciler.model.outcome import Reason
from tests.conftest import some_subnet
from tests.contract.services import HOST, attached, network, volume
from tests.contract.worlds import World


def test_new_containers_are_numbered_after_the_highest(world: World) -> None:
    service = world.service("web")
    assert [c.name for c in world.create(service, 2)] == [f"{world.stack}-web-1", f"{world.stack}-web-2"]
    world.applier.remove(world.containers("web")[0].id)
    changed = world.service("web", revision="2")
    assert [c.number for c in world.create(changed, 2)] == [3, 4]


def test_existing_containers_are_left_alone(world: World) -> None:
    old = world.started("web")
    [new] = world.create(world.service("web", revision="2"))
    after = world.detail(old.id)
    assert (after.state, after.started_at, after.name) == ("running", old.started_at, old.name)
    assert (new.state, new.number) == ("created", 2)
    assert new.spec != old.spec


def test_switch_of_names(world: World) -> None:
    old = world.started("web")
    [new] = world.create(world.service("web", revision="2"))
    world.applier.stop_all({old.id: 5})
    world.applier.rename(old.id, f"{old.name}.standby")
    world.applier.rename(new.id, old.name)
    assert world.detail(old.id).name == f"{world.stack}-web-1.standby"
    assert world.detail(new.id).name == f"{world.stack}-web-1"
    assert world.detail(new.id).number == 2


def test_rename_to_its_own_name_is_no_error(world: World) -> None:
    container = world.created("web")
    world.applier.rename(container.id, container.name)
    assert world.detail(container.id).name == container.name


def test_rename_to_a_name_in_use_is_refused(world: World) -> None:
    one, other = world.create(world.service("web"), 2)
    with pytest.raises(Transient) as refused:
        world.applier.rename(one.id, other.name)
    assert other.name in refused.value.message
    assert world.detail(one.id).name == one.name


def test_what_is_gone_is_left_out_and_no_error(world: World) -> None:
    container = world.created("web")
    world.applier.remove(container.id)
    world.applier.remove(container.id)
    world.applier.stop_all({container.id: 1})
    assert world.observer.details([container.id]) == {}
    assert world.observer.logs(container.id, 5) == ()
    assert world.observer.health_output(container.id) is None
    for act in (
        lambda: world.applier.start(container.id),
        lambda: world.applier.rename(container.id, "other"),
        lambda: world.applier.update(container.id, "always"),
    ):
        with pytest.raises(Transient, match="is gone"):
            act()


def test_running_container_is_not_removed(world: World) -> None:
    container = world.started("web")
    with pytest.raises(Transient):
        world.applier.remove(container.id)
    assert world.detail(container.id).state == "running"


def test_network_is_made_once_and_carries_its_digest(world: World) -> None:
    wanted = world.network()
    first = world.observer.inspect([world.stack]).networks[wanted.name]
    world.applier.create_network(wanted)
    again = world.observer.inspect([world.stack]).networks[wanted.name]
    assert first.digest == wanted.digest
    assert again.id == first.id
    assert first.labels["com.docker.compose.project"] == world.stack
    assert first.labels["dev.reconciler.host"] == HOST


def test_network_of_another_definition_is_refused(world: World) -> None:
    world.network()
    with pytest.raises(RolloutFailed, match="already exists"):
        world.applier.create_network(network(world.stack, definition={"internal": True}))


def test_standby_keeps_its_network_and_starts_again(world: World) -> None:
    wanted = world.network()
    endpoint = Endpoint(wanted.name, ("web",))
    [old] = world.create(attached(world.service("web"), endpoint))
    world.applier.start(old.id)
    world.applier.stop_all({old.id: 5})
    assert world.detail(old.id).networks == {wanted.name}
    assert old.id in world.observer.inspect([world.stack]).networks[wanted.name].containers
    world.applier.start(old.id)
    assert (world.detail(old.id).state, world.detail(old.id).networks) == ("running", {wanted.name})


def test_network_in_use_stays(world: World) -> None:
    wanted = world.network()
    [container] = world.create(attached(world.service("web"), Endpoint(wanted.name)))
    world.applier.start(container.id)
    world.applier.remove_network(wanted.name)
    assert wanted.name in world.observer.inspect([world.stack]).networks
    assert world.detail(container.id).networks == {wanted.name}


def test_network_is_replaced_under_stopped_containers(world: World) -> None:
    old_network = world.network()
    endpoint = Endpoint(old_network.name, ("web", "www"))
    [old] = world.create(attached(world.service("web"), endpoint))
    world.applier.start(old.id)
    world.applier.stop_all({old.id: 5})
    world.applier.remove_network(old_network.name)
    assert world.detail(old.id).networks == frozenset()
    new_network = world.network({"internal": True})
    world.applier.remove_network(new_network.name)
    world.applier.create_network(old_network)
    world.applier.connect(old.id, endpoint)
    world.applier.connect(old.id, endpoint)
    world.applier.start(old.id)
    back = world.detail(old.id)
    assert (back.state, back.networks) == ("running", {old_network.name})


def test_removing_a_network_that_is_gone_is_no_error(world: World) -> None:
    world.applier.remove_network(f"{world.stack}_never")
    assert f"{world.stack}_never" not in world.observer.inspect([world.stack]).networks


def test_disconnected_container_starts_without_its_network(world: World) -> None:
    wanted = world.network()
    [container] = world.create(attached(world.service("web"), Endpoint(wanted.name)))
    world.applier.remove_network(wanted.name)
    world.applier.create_network(wanted)
    world.applier.start(container.id)
    assert world.detail(container.id).networks == frozenset()


def test_static_address_is_kept_over_a_switch(world: World) -> None:
    subnet = some_subnet()
    wanted = world.network({"ipam": {"config": [{"subnet": f"{subnet}.0/24"}]}})
    endpoint = Endpoint(wanted.name, ipv4=f"{subnet}.9")
    [old] = world.create(attached(world.service("web"), endpoint))
    world.applier.start(old.id)
    [new] = world.create(attached(world.service("web", revision="2"), endpoint))
    with pytest.raises(RolloutFailed) as refused:
        world.applier.start(new.id)
    assert refused.value.failure.reason is Reason.DEPENDENCY_NOT_READY
    world.applier.stop_all({old.id: 5})
    world.applier.start(new.id)
    assert world.detail(new.id).state == "running"


def test_volumes_outlive_their_containers(world: World) -> None:
    data = volume(world.stack, "data")
    world.applier.create_volume(data)
    world.applier.create_volume(data)
    mounts = [{"type": "volume", "source": data.name, "target": "/data"}]
    container = world.created("db", image="store", config={"volumes": mounts})
    sources = {mount.target: mount.source for mount in container.mounts}
    assert sources["/data"] == data.name
    assert len(sources["/store"]) == 64
    world.applier.remove(container.id)
    volumes = world.observer.inspect([world.stack]).volumes
    assert set(sources.values()) <= volumes.keys()
    assert volumes[data.name].labels["com.docker.compose.project"] == world.stack


def test_anonymous_volumes_are_fresh_or_carried_over(world: World) -> None:
    [old] = world.create(world.service("db", image="store"))
    [fresh] = world.create(world.service("db", image="store", revision="2"))
    carried = {mount.target: mount.source for mount in old.mounts}
    [new] = world.create(world.service("db", image="store", revision="3"), anonymous=carried)
    assert {mount.target: mount.source for mount in new.mounts} == carried
    assert fresh.mounts[0].source != old.mounts[0].source


def test_port_of_a_foreign_container_is_named_and_refused(world: World) -> None:
    port = free_port()
    wanted = ("127.0.0.1", port, "tcp")
    ports = [{"target": 80, "published": str(port), "host_ip": "127.0.0.1", "protocol": "tcp", "mode": "ingress"}]
    service = replace(world.service("web", config={"ports": ports}), ports=(wanted,))
    assert world.observer.ports_taken([wanted]) == {}
    [container] = world.create(service)
    name = f"{world.stack}-squatter"
    world.foreign(name, port)
    assert world.observer.ports_taken([wanted]) == {wanted: f"container {name}"}
    with pytest.raises(RolloutFailed) as refused:
        world.applier.start(container.id)
    assert refused.value.failure.reason is Reason.DEPENDENCY_NOT_READY
    assert name in {item.name for item in world.observer.inspect([world.stack]).foreign}


def test_own_port_does_not_count_as_taken(world: World) -> None:
    port = free_port()
    wanted = ("127.0.0.1", port, "tcp")
    ports = [{"target": 80, "published": str(port), "host_ip": "127.0.0.1", "protocol": "tcp", "mode": "ingress"}]
    [container] = world.create(replace(world.service("web", config={"ports": ports}), ports=(wanted,)))
    world.applier.start(container.id)
    assert world.detail(container.id).ports == (wanted,)
    assert world.observer.ports_taken([wanted]) == {}


def test_namespace_user_of_a_namespace_needs_its_namespace_owner(world: World) -> None:
    namespace_owner = world.created("vpn")
    service = replace(world.service("web", config={"network_mode": "service:vpn"}), shares=("vpn",))
    [namespace_user] = world.create(service, sharing={"vpn": namespace_owner.id})
    assert namespace_user.shares == {namespace_owner.id}
    with pytest.raises(RolloutFailed) as refused:
        world.applier.start(namespace_user.id)
    assert refused.value.failure.reason is Reason.DEPENDENCY_NOT_READY
    world.applier.start(namespace_owner.id)
    world.applier.start(namespace_user.id)
    assert world.detail(namespace_user.id).state == "running"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
