"""Ports and volumes move between services in one commit, and move back after a bad one."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from tests.e2e.host import Host
from tests.e2e.services import BROKEN, living, service, stated
from tests.e2e.together import Together

pytestmark = pytest.mark.engine
together = Together()

LOCKED = "exec 9>/data/lock; flock -n 9 || exit 3"
"""A program that allows no second one on its volume."""


def ports(number: int) -> list[int]:
    """Ports that are free now."""
    probes = [socket.socket() for _ in range(number)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    found = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return found


def published(host: Host) -> dict[str, str]:
    """Service → its port on the host."""
    return {
        name.removeprefix(f"{host.stack}-").removesuffix("-1"): bindings["80/tcp"][0]["HostPort"]
        for name, item in host.containers().items()
        if (bindings := item["NetworkSettings"]["Ports"])
    }


@together.with_every_compose
def test_a_default_container_name_can_move_to_another_service(host: Host) -> None:
    """The candidate is created while the container that has the name still runs."""
    host.push({"a": stated("1", container_name=f"{host.stack}-b-1")})
    assert host.once()["outcome"] == "Succeeded"
    host.push({"a": stated("1"), "b": stated("1")})
    turn = host.once()
    assert turn["outcome"] == "Succeeded", turn["message"]
    assert host.states() == {"a-1": "running", "b-1": "running"}
    assert host.once()["effects"] == 0


@together.with_one_compose
def test_ports_can_rotate_among_three_services_with_a_dependency(host: Host) -> None:
    one, two, three = ports(3)

    def at(port: int, **more: Any) -> dict[str, Any]:
        return service(ports=[f"127.0.0.1:{port}:80"], **more)

    for first, second, third in ((one, two, three), (two, three, one), (three, one, two)):
        host.push({"a": at(first), "b": at(second), "c": at(third, depends_on=["a"])})
        turn = host.once()
        assert turn["outcome"] == "Succeeded", turn["message"]
        assert published(host) == {"a": str(first), "b": str(second), "c": str(third)}
    assert host.once()["effects"] == 0


@together.with_one_compose
def test_a_missing_external_volume_is_named_with_its_remedy(host: Host) -> None:
    name = f"{host.stack}-data"
    grant = {"policy": "external-volume", "values": [name], "stack": host.stack, "service": "*", "reason": "tested"}
    host.configure(grants=[grant])
    external: dict[str, Any] = {"volumes": {"data": {"external": True, "name": name}}}
    host.push({"a": stated("1", volumes=["data:/data"])}, **external)
    turn = host.once()
    assert (turn.code, turn["reason"], turn["attempt"]) == (3, "DependencyNotReady", None)
    assert turn["message"] == f"{host.stack}/a uses the external volume {name}, which does not exist"
    assert turn["hint"] == f"docker volume create {name}"
    host.engine.create_volume(name)
    try:
        assert host.once()["outcome"] == "Succeeded"
        host.engine.remove_container(host.container("a")["Id"], force=True)
        host.engine.remove_volume(name)
        turn = host.once()
        assert (turn["reason"], turn["hint"]) == ("DependencyNotReady", f"docker volume create {name}")
    finally:
        host.engine.create_volume(name)
        assert host.once().code == 0
        host.engine.remove_container(host.container("a")["Id"], force=True)
        host.engine.remove_volume(name)


@together.with_every_compose
def test_ports_and_a_locked_volume_can_move_between_services_and_back(host: Host) -> None:
    one, two, three = ports(3)
    volumes: dict[str, Any] = {"volumes": {"data": {}}}
    holding, idle = living(LOCKED, volumes=["data:/data"]), stated("1")

    def at(port: int) -> dict[str, Any]:
        return service(ports=[f"127.0.0.1:{port}:80"])

    host.push({"a": at(one), "b": at(two), "y": idle, "z": holding}, **volumes)
    assert host.once()["outcome"] == "Succeeded"
    moved = {"a": at(two), "b": at(three), "c": at(one), "y": holding, "z": idle}
    host.push({**moved, "bad": {**BROKEN, "depends_on": list(moved)}}, **volumes)
    before = host.ids()
    turn = host.once()
    assert turn["outcome"] == "RolledBack", turn["message"]
    assert host.ids() == before
    assert published(host) == {"a": str(one), "b": str(two)}
    host.push(moved, **volumes)
    turn = host.once()
    assert turn["outcome"] == "Succeeded", turn["message"]
    assert published(host) == {"a": str(two), "b": str(three), "c": str(one)}
    assert set(host.states().values()) == {"running"}
