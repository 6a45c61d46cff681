"""The engine's facts of a container that Compose made from a service are exactly those that the service asks for.

Each tampering is another container, made as the engine describes the first one, with one difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest

from reconciler.decide.drift.facts import differences
from reconciler.model.creation import Creation
from reconciler.model.desired import Endpoint, Service, Stack
from reconciler.model.observed import Container
from reconciler.observe.engine import EngineObserver
from tests.contract import services
from tests.contract.conftest import ComposeApplier
from tests.contract.services import HOST

pytestmark = pytest.mark.engine

MIB = 1 << 20
RICH: dict[str, Any] = {
    "environment": {"LEVEL": "info", "EMPTY": "", "PATH": None},
    "labels": {"route": "web"},
    "user": "1000:1000", "working_dir": "/tmp", "hostname": "called", "domainname": "example", "tty": True,
    "stdin_open": True, "init": True, "stop_signal": "SIGINT", "stop_grace_period": "2s",
    "cap_add": ["NET_ADMIN"], "cap_drop": ["ALL"], "read_only": True,
    "security_opt": ["no-new-privileges:true", "seccomp:unconfined"],
    "ulimits": {"nofile": {"soft": 1234, "hard": 2345}, "nproc": 99}, "sysctls": {"net.core.somaxconn": "1024"},
    "tmpfs": ["/run/t:size=1m"], "extra_hosts": ["gate=10.9.8.7"], "dns": ["10.9.8.1"], "dns_search": ["example"],
    "dns_opt": ["ndots:2"], "group_add": ["4321"], "shm_size": str(2 * MIB), "oom_score_adj": 100,
    "logging": {"driver": "json-file", "options": {"max-size": "1m"}}, "devices": ["/dev/null:/dev/nothing"],
    "healthcheck": {"test": ["CMD-SHELL", "true"], "interval": "1m30s", "timeout": "500ms", "retries": 4},
    "ports": [{"mode": "ingress", "target": 80, "protocol": "tcp"},
              {"mode": "ingress", "host_ip": "127.0.0.1", "target": 53, "published": "0", "protocol": "udp"}],
    "mem_reservation": str(16 * MIB), "cpus": 0.5, "cpu_shares": 512, "cpuset": "0", "pids_limit": 50,
}  # fmt: skip


class TurnContext:
    """One stack with a network and a volume; makes containers of services, and others like them."""

    def __init__(self, client: docker.APIClient, compose: Path, stack: str, images: Mapping[str, str]) -> None:
        self.client, self.stack, self.images = client, stack, images
        self.observer = EngineObserver(client, HOST)
        self.applier = ComposeApplier(client, compose)
        self.network = services.network(stack)
        self.volume = services.volume(stack, "data")
        self.applier.create_network(self.network)
        self.applier.create_volume(self.volume)

    def service(self, name: str, image: str = "actor", **config: Any) -> Service:
        own = config.pop("labels", {})
        made = services.service(self.stack, name, self.images[image], config=config)
        made = replace(made, config={**made.config, "labels": {**own, **made.config["labels"]}})
        if "network_mode" in config:
            return made
        return services.attached(made, Endpoint(self.network.name, (name, "www")))

    def started(self, service: Service) -> Container:
        self.applier.create(Stack(self.stack, (service,), (self.network,), ()), [Creation(service, 1, {}, {})], {})
        [made] = self.observer.look([self.stack]).of(self.stack, service.name)
        self.applier.start(made.id)
        return self.details(made.id)

    def details(self, container: str) -> Container:
        return self.observer.details([container])[container]

    def differences(self, service: Service, container: str) -> list[str]:
        found = self.details(container)
        return [item.text for item in differences(service, found, self.observer.defaults([found.image])[found.image])]

    def like(self, container: str, section: str, key: str, value: Any) -> str:
        """A second container that is like the first, with one other value."""
        answer = self.client.inspect_container(container)
        ends = answer["NetworkSettings"]["Networks"]
        body = {**answer["Config"], "HostConfig": answer["HostConfig"], "NetworkingConfig": {"EndpointsConfig": ends}}
        target = body if section == "Config" else body[section]
        target[key] = value
        url = f"{self.client.base_url}/v{self.client.api_version}/containers/create"
        response = self.client.post(url, json=body)
        assert response.status_code == 201, response.text
        return str(response.json()["Id"])


@pytest.fixture
def context(engine: docker.APIClient, compose_binary: Path, stack_name: str, images: dict[str, str]) -> TurnContext:
    return TurnContext(engine, compose_binary, stack_name, images)


def volume_mounts(context: TurnContext, folder: Path) -> list[dict[str, Any]]:
    return [
        {"type": "volume", "source": context.volume.name, "target": "/data"},
        {"type": "volume", "target": "/scratch"},
        {"type": "bind", "source": str(folder), "target": "/bound", "read_only": True,
         "bind": {"create_host_path": False}},
        {"type": "tmpfs", "target": "/fast", "tmpfs": {"size": str(MIB)}},
    ]  # fmt: skip


def test_what_compose_makes_has_no_difference(context: TurnContext, tmp_path: Path) -> None:
    made = [
        context.service("plain"),
        context.service("rich", **RICH, volumes=volume_mounts(context, tmp_path)),
        context.service("store", image="store", volumes=[{"type": "volume", "target": "/more"}]),
        context.service("checked", image="checked"),
        context.service("patient", image="checked", healthcheck={"interval": "7s", "retries": 9}),
        context.service("off", image="checked", healthcheck={"disable": True}),
        context.service("host", network_mode="host", pid="host", ipc="host"),
        context.service("alone", network_mode="none", privileged=True),
        context.service("entry", entrypoint=["sh", "-c"], command=["sleep 600"]),
        context.service("deploy", deploy={"resources": {"limits": {"cpus": "0.5", "pids": 20, "memory": str(32 * MIB)},
                                                      "reservations": {"memory": str(8 * MIB)}}}),
    ]  # fmt: skip
    found = {item.name: context.started(item).id for item in made}
    assert {item.name: context.differences(replace(item), found[item.name]) for item in made} == {
        item.name: [] for item in made
    }


TAMPERINGS: list[tuple[str, str, Any, str]] = [
    ("Config", "Env", ["LEVEL=debug", "EMPTY=", "EXTRA=1"], "environment: unexpected EXTRA, LEVEL differs"),
    ("Config", "Cmd", ["sleep", "5"], "command sleep 5 instead of sh -c"),
    ("Config", "Entrypoint", ["env"], "command env sh -c"),
    ("Config", "User", "0", "user 0 instead of 1000:1000"),
    ("Config", "WorkingDir", "/", "working folder / instead of /tmp"),
    ("Config", "Hostname", "other", "host name other instead of called"),
    ("Config", "Tty", False, "terminal off instead of on"),
    ("Config", "StopSignal", "SIGKILL", "stop signal SIGKILL instead of SIGINT"),
    ("Config", "Healthcheck", {"Test": ["NONE"]}, "health check: Interval is missing"),
    ("HostConfig", "CapAdd", ["NET_ADMIN", "SYS_ADMIN"], "added capabilities NET_ADMIN SYS_ADMIN instead of NET_ADMIN"),
    ("HostConfig", "CapDrop", [], "dropped capabilities none instead of ALL"),
    ("HostConfig", "Privileged", True, "privileged on instead of off"),
    ("HostConfig", "ReadonlyRootfs", False, "read-only off instead of on"),
    ("HostConfig", "SecurityOpt", ["seccomp:unconfined"], "security options seccomp=unconfined instead of"),
    ("HostConfig", "Ulimits", [{"Name": "nofile", "Soft": 1, "Hard": 2}], "ulimits: nofile differs, nproc is missing"),
    ("HostConfig", "Sysctls", {}, "system settings: net.core.somaxconn is missing"),
    ("HostConfig", "Tmpfs", {}, "mounts: /run/t is missing"),
    ("HostConfig", "ExtraHosts", [], "further hosts none instead of gate:10.9.8.7"),
    ("HostConfig", "Dns", ["10.9.8.2"], "name servers 10.9.8.2 instead of 10.9.8.1"),
    ("HostConfig", "GroupAdd", ["0"], "groups 0 instead of 4321"),
    ("HostConfig", "PidMode", "host", "pid mode host instead of none"),
    ("HostConfig", "Init", False, "init off instead of on"),
    ("HostConfig", "ShmSize", MIB, "shared memory 1 MiB instead of 2 MiB"),
    ("HostConfig", "OomScoreAdj", 7, "out-of-memory score 7 instead of 100"),
    ("HostConfig", "LogConfig", {"Type": "none", "Config": {}}, "log driver none instead of json-file"),
    ("HostConfig", "Devices", [], "devices none instead of /dev/null:/dev/nothing"),
    ("HostConfig", "PortBindings", {}, "ports none instead of"),
    ("HostConfig", "Mounts", [], "mounts: /bound is missing"),
    ("HostConfig", "Memory", 24 * MIB, "memory 24 MiB instead of 32 MiB"),
    ("HostConfig", "NanoCpus", 10**9, "cpus 1 instead of 0.5"),
    ("HostConfig", "PidsLimit", 51, "pids 51 instead of 50"),
    ("HostConfig", "RestartPolicy", {"Name": "always"}, "restart policy always instead of no"),
]


def test_each_tampering_is_told_alone(context: TurnContext, tmp_path: Path) -> None:
    service = context.service("rich", **RICH, volumes=volume_mounts(context, tmp_path))
    first = context.started(service)
    assert context.differences(service, context.like(first.id, "Config", "OpenStdin", True)) == []
    for section, key, value, words in TAMPERINGS:
        told = context.differences(service, context.like(first.id, section, key, value))
        first_words = [item for item in told if item.startswith(words)]
        assert first_words, (key, told)
        alone = [item for item in told if not item.startswith("log options") and not item.startswith("ports")]
        assert len(alone) <= 1 or key == "Healthcheck", (key, told)


def test_what_docker_update_changes_is_correctable(context: TurnContext) -> None:
    service = context.service("web", mem_reservation=str(16 * MIB), cpus=0.5, pids_limit=50)
    container = context.started(service).id
    changes: list[tuple[dict[str, Any], str]] = [
        ({"Memory": 24 * MIB}, "memory 24 MiB instead of 32 MiB"),
        ({"MemoryReservation": 8 * MIB}, "memory reservation 8 MiB instead of 16 MiB"),
        ({"NanoCpus": 10**9}, "cpus 1 instead of 0.5"),
        ({"PidsLimit": 9}, "pids 9 instead of 50"),
        ({"RestartPolicy": {"Name": "always"}}, "restart policy always instead of no"),
    ]
    url = f"{context.client.base_url}/v{context.client.api_version}/containers/{container}/update"
    seen: list[str] = []
    for body, words in changes:
        assert context.client.post(url, json=body).status_code == 200
        told = context.differences(service, container)
        assert [item for item in told if item not in seen] == [words]
        seen.append(words)
    found = context.details(container)
    image = context.observer.defaults([found.image])[found.image]
    assert all(item.correctable for item in differences(service, found, image))


def test_networks_pauses_and_addresses(context: TurnContext) -> None:
    service = context.service("web")
    container = context.started(service).id
    name = context.network.name
    context.client.pause(container)
    assert context.differences(service, container) == ["state paused instead of running"]
    context.client.unpause(container)
    context.client.disconnect_container_from_network(container, name)
    assert context.differences(service, container) == [f"network {name}: not connected"]
    context.client.connect_container_to_network(container, name, aliases=["web"])
    assert context.differences(service, container) == [f"network {name}: no alias www"]
    context.applier.connect(container, service.endpoints[0])
    assert context.differences(service, container) == []
    other = services.network(context.stack, "other")
    context.applier.create_network(other)
    context.client.connect_container_to_network(container, other.name)
    assert context.differences(service, container) == [f"network {other.name}: it is not the service's"]
