"""Differences between a service and a container. tests/contract/test_facts.py checks that the words are the engine's
own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.decide.drift.facts import differences
from reconciler.model.desired import Endpoint, Service
from reconciler.model.images import ImageDefaults
from reconciler.model.observed import Container
from reconciler.observe.containers import inspected

IMAGE = ImageDefaults(
    environment=("PATH=/bin", "LEVEL=info"), entrypoint=("/entry",), command=("serve",), user="app",
    labels={"vendor": "x"}, healthcheck={"Test": ["CMD", "probe"], "Retries": 3}, volumes=("/store/",),
)  # fmt: skip
ANONYMOUS = "a" * 64


def service(endpoints: tuple[Endpoint, ...] = (), **config: Any) -> Service:
    return Service(
        "shop", "web", "spec", {"image": "id", "restart": "no", **config}, "id", "web:1", 1, 64 << 20, False, 10.0,
        "always", endpoints=endpoints,
    )  # fmt: skip


def container(config: Any = None, host: Any = None, state: str = "running", **answer: Any) -> Container:
    """A container of the plain service, as the engine describes it."""
    inherited = {
        "Env": list(IMAGE.environment), "Entrypoint": ["/entry"], "Cmd": ["serve"], "User": "app",
        "Labels": {"vendor": "x", "com.docker.compose.project": "shop", "dev.reconciler.host": "mini"},
        "Healthcheck": IMAGE.healthcheck, "Hostname": "0123456789ab",
    }  # fmt: skip
    limits = {"Memory": 64 << 20, "MemorySwap": 64 << 20, "RestartPolicy": {"Name": "always"}}
    return inspected(
        {
            "Id": "c1", "Name": "/shop-web-1", "Image": "id",
            "Config": {**inherited, **(config or {})},
            "HostConfig": {**limits, **(host or {})},
            "State": {"Status": state, "Running": state != "exited"},
            "Mounts": [{"Type": "volume", "Name": ANONYMOUS, "Destination": "/store", "RW": True}],
            **answer,
        }
    )  # fmt: skip


def told(wanted: Service, found: Container, image: ImageDefaults | None = IMAGE) -> list[str]:
    return [item.text for item in differences(wanted, found, image)]


def test_what_the_image_and_the_engine_decide_is_no_difference() -> None:
    host = {"Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}], "IpcMode": "private", "ShmSize": 1 << 26}
    host |= {"LogConfig": {"Type": "local"}, "CgroupnsMode": "private", "Runtime": "runc", "PidsLimit": -1}
    host |= {"SecurityOpt": ["label=disable"]}
    assert told(service(), container(host=host)) == []


def test_a_listed_container_says_nothing() -> None:
    assert told(service(), replace(container(), detailed=False, facts={})) == []


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"command": ["other"]}, {"Cmd": ["other"]}),
        ({"entrypoint": ["/own"]}, {"Entrypoint": ["/own"], "Cmd": None}),
        ({"entrypoint": ["/own"], "command": ["x"]}, {"Entrypoint": ["/own"], "Cmd": ["x"]}),
        ({"entrypoint": []}, {"Entrypoint": []}),
        ({"entrypoint": [""], "command": ["x"]}, {"Entrypoint": None, "Cmd": ["x"]}),
        ({"environment": {"LEVEL": "debug", "PATH": None}}, {"Env": ["LEVEL=debug", "PATH"]}),
        ({"healthcheck": {"retries": 5}}, {"Healthcheck": {"Test": ["CMD", "probe"], "Retries": 5}}),
        ({"healthcheck": {"disable": True}}, {"Healthcheck": {"Test": ["NONE"], "Retries": 3}}),
    ],
    ids=["command", "entrypoint", "both", "no-entrypoint", "reset", "environment", "probe", "unprobed"],
)
def test_file_and_image_are_put_together_as_the_engine_does(config: dict[str, Any], found: dict[str, Any]) -> None:
    assert told(service(**config), container(found)) == []
    assert len(told(service(), container(found))) == 1


def test_values_of_variables_and_labels_are_never_told() -> None:
    found = container({"Env": ["PATH=/bin", "LEVEL=hunter2", "TOKEN=hunter2"], "Labels": {"vendor": "hunter2"}})
    assert told(service(), found) == ["environment: LEVEL differs, unexpected TOKEN", "labels: vendor differs"]


def test_a_volume_that_was_taken_over_is_no_difference() -> None:
    kept = {"Type": "volume", "Name": "b" * 64, "Destination": "/old", "RW": True}
    named = {"Type": "volume", "Name": "shop_data", "Destination": "/data", "RW": True}
    store = container().facts["mounts"]["/store"]
    assert store == ("volume", ANONYMOUS, True)
    assert told(service(), container(Mounts=[kept, {**kept, "Destination": "/store"}])) == []
    assert told(service(), container(Mounts=[named])) == ["mounts: unexpected /data, /store is missing"]
    assert told(service(volumes_from=["db"]), container(Mounts=[named, {**kept, "Destination": "/store"}])) == []


def test_only_what_docker_update_can_do_is_correctable() -> None:
    host = {"Memory": 512 << 20, "PidsLimit": 9, "NanoCpus": 5 * 10**8, "Privileged": True}
    found = {item.fact: item.correctable for item in differences(service(), container(host=host), IMAGE)}
    assert found == {"memory": True, "pids": True, "cpus": False, "privileged": False}
    limited = differences(service(cpus=1), container(host={"NanoCpus": 5 * 10**8}), IMAGE)
    assert [(item.text, item.correctable) for item in limited] == [("cpus 0.5 instead of 1", True)]


def test_without_its_image_only_what_the_file_says_is_compared() -> None:
    assert told(service(), container({"Cmd": ["x"]}, {"Memory": 1 << 20}), None) == ["memory 1 MiB instead of 64 MiB"]


def test_swap_that_an_engine_cannot_limit_is_no_difference() -> None:
    assert told(service(memswap_limit=str(64 << 20)), container(host={"MemorySwap": -1})) == []
    assert len(told(service(memswap_limit=str(64 << 20)), container(host={"MemorySwap": 128 << 20}))) == 1


def test_endpoints() -> None:
    def networks(**found: Any) -> Container:
        return container(NetworkSettings={"Networks": found})

    wanted = service((Endpoint("front", ("web", "www"), ipv4="10.0.0.9"),))
    there = {"Aliases": ["web", "www", "c1"], "IPAMConfig": {"IPv4Address": "10.0.0.9"}}
    assert told(wanted, networks(front=there)) == []
    assert told(wanted, networks()) == ["network front: not connected"]
    bare = {"Aliases": ["web"], "IPAMConfig": None}
    assert told(wanted, networks(front=bare)) == ["network front: no alias www, address none instead of 10.0.0.9"]
    assert told(wanted, networks(front=there, back={})) == ["network back: it is not the service's"]
    assert told(service(network_mode="none"), container(host={"NetworkMode": "none"})) == []
    assert told(service(), networks(anything={})) == []


def test_a_paused_container_and_another_restart_policy() -> None:
    found = differences(service(), container(host={"RestartPolicy": {"Name": "no"}}, state="paused"), IMAGE)
    assert [item.text for item in found] == [
        "state paused instead of running", "restart policy no instead of always",
    ]  # fmt: skip
    assert all(item.correctable for item in found)


def test_ports_whatever_way_they_are_written() -> None:
    ports = [{"target": 80, "published": "8080", "protocol": "tcp"}, {"target": 53, "protocol": "udp"}]
    bound = {"80/tcp": [{"HostIp": "", "HostPort": "8080"}], "53/udp": [{"HostIp": "0.0.0.0", "HostPort": "0"}]}
    assert told(service(ports=ports), container(host={"PortBindings": bound})) == []
    assert told(service(ports=ports[:1]), container(host={"PortBindings": bound})) == [
        "ports 0.0.0.0:0->53/udp 0.0.0.0:8080->80/tcp instead of 0.0.0.0:8080->80/tcp"
    ]
