"""Containers are created as the create-file says, and existing objects are not touched. With every installed Compose
version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest

from reconciler.act.compose import ComposeCreator, arguments
from reconciler.effects import Effects
from reconciler.errors import Away, RolloutFailed, Transient
from reconciler.formats.create_file import create_file, escaped
from reconciler.model.creation import Creation
from reconciler.model.desired import Network, Service, Stack
from reconciler.model.outcome import Reason
from tests.conftest import engine_address, some_subnet

LABELS = {"dev.reconciler.host": "mini", "dev.reconciler.spec": "5" * 64}
RUN = ["sh", "-c", "trap exit TERM; sleep 600 & wait"]


def service(stack: str, name: str, image: str, **config: Any) -> Service:
    alone = {} if "networks" in config or "network_mode" in config else {"network_mode": "none"}
    config = {"image": image, "command": RUN, "restart": "no", "labels": LABELS, **alone, **config}
    return Service(
        stack=stack, name=name, spec="5" * 64, config=config, image=image, image_ref="actor", replicas=1,
        memory=1 << 26, memory_default=True, grace=10, restart="always",
    )  # fmt: skip


def creation(
    item: Service, count: int = 1, anonymous: Mapping[str, str] = {}, sharing: Mapping[str, str] = {}
) -> Creation:
    return Creation(item, count, anonymous, sharing)


class TurnContext:
    """One stack on the real engine, created through one Compose."""

    def __init__(self, compose: Path, engine: docker.APIClient, stack: str, image: str) -> None:
        self.engine, self.stack, self.image = engine, stack, image
        self.effects = Effects()
        self.networks: list[Network] = []
        self.creator = ComposeCreator(str(compose), engine_address(), self.effects, {}, is_ours=lambda network: True)

    def service(self, name: str, **config: Any) -> Service:
        return service(self.stack, name, config.pop("image", self.image), **config)

    def create(self, *creations: Creation, existing: Mapping[str, int] = {}) -> None:
        self.creator.create(Stack(self.stack, (), tuple(self.networks), ()), creations, existing)

    def all(self) -> dict[str, dict[str, Any]]:
        """name → inspected, of every container of the stack."""
        filters = {"label": f"com.docker.compose.project={self.stack}"}
        found = [
            self.engine.inspect_container(item["Id"]) for item in self.engine.containers(all=True, filters=filters)
        ]
        return {item["Name"].removeprefix(f"/{self.stack}-"): item for item in found}

    def network(self, key: str, **options: Any) -> str:
        name = f"{self.stack}_{key}"
        labels = {"com.docker.compose.project": self.stack, "com.docker.compose.network": key}
        self.engine.create_network(name, labels=labels, **options)
        self.networks.append(Network(self.stack, key, name, {}, ""))
        return name

    def volume(self, key: str) -> str:
        name = f"{self.stack}_{key}"
        self.engine.create_volume(name, labels={"com.docker.compose.project": self.stack})
        return name


@pytest.fixture
def context(compose_binary: Path, engine: docker.APIClient, stack_name: str, images: dict[str, str]) -> TurnContext:
    return TurnContext(compose_binary, engine, stack_name, images["actor"])


@pytest.mark.engine
def test_what_compose_does_not_read_is_our_fault_and_quarantines_nothing(context: TurnContext) -> None:
    with pytest.raises(Transient) as error:
        context.create(creation(context.service("web", memswap_limit="-1", mem_limit="67108864")))
    assert error.value.reason is Reason.INTERNAL_ERROR
    assert "reconciler cannot write this so that Compose 2." in error.value.message
    assert "memswap_limit" in error.value.message
    assert "defect of reconciler" in error.value.hint
    assert context.all() == {}


@pytest.mark.engine
def test_everything_that_a_service_can_say(context: TurnContext, tmp_path: Path) -> None:
    subnet = some_subnet()
    pool = docker.types.IPAMPool(subnet=f"{subnet}.0/24")
    front = context.network("front", ipam=docker.types.IPAMConfig(pool_configs=[pool]))
    back, data = context.network("back"), context.volume("data")
    (tmp_path / "conf").write_text("bytes")
    context.create(
        creation(
            context.service(
                "web",
                networks={front: {"aliases": ["shop"], "ipv4_address": f"{subnet}.9"}, back: None},
                volumes=[
                    {"type": "volume", "source": data, "target": "/data", "volume": {}},
                    {"type": "volume", "target": "/unnamed", "volume": {}},
                    {
                        "type": "bind", "source": f"{tmp_path}/conf", "target": "/conf", "read_only": True,
                        "bind": {"create_host_path": False},
                    },
                    {"type": "tmpfs", "target": "/run/x", "tmpfs": {"size": "1048576"}},
                ],
                tmpfs=["/scratch"],
                environment={"DOLLAR": "a$b ${HOME} $$", "LINES": "x\ny", "UNSET": None},
                init=True,
                ulimits={"nofile": {"soft": 100, "hard": 200}, "nproc": 50},
                healthcheck={"test": ["CMD-SHELL", "test $$ -gt 0"], "interval": "7s", "start_period": "3s"},
                stop_grace_period="21s",
                extra_hosts=["there=1.2.3.4"],
                mem_limit="67108864",
                memswap_limit="67108864",
                labels={**LABELS, "price": "5$"},
                cap_drop=["ALL"],
                user="65534",
                stop_signal="SIGINT",
                logging={"driver": "json-file", "options": {"max-size": "1m"}},
                ports=[{"mode": "ingress", "host_ip": "127.0.0.1", "target": 80, "published": "0", "protocol": "tcp"}],
            )
        )
    )  # fmt: skip
    made = context.all()["web-1"]
    assert made["State"]["Status"] == "created"
    config, host = made["Config"], made["HostConfig"]
    assert {"DOLLAR=a$b ${HOME} $$", "LINES=x\ny"} <= set(config["Env"])
    assert not any(item.startswith("UNSET=") for item in config["Env"])
    assert config["Healthcheck"] == {
        "Test": ["CMD-SHELL", "test $$ -gt 0"], "Interval": 7 * 10**9, "StartPeriod": 3 * 10**9,
    }  # fmt: skip
    assert (config["StopTimeout"], config["StopSignal"], config["User"]) == (21, "SIGINT", "65534")
    assert LABELS.items() | {("price", "5$")} <= config["Labels"].items()
    assert (host["RestartPolicy"]["Name"], host["Init"], host["CapDrop"]) == ("no", True, ["ALL"])
    assert (host["Memory"], host["MemorySwap"]) == (1 << 26, 1 << 26)
    assert host["ExtraHosts"] == ["there:1.2.3.4"]
    assert host["LogConfig"]["Config"] == {"max-size": "1m"}
    assert {item["Name"]: (item["Soft"], item["Hard"]) for item in host["Ulimits"]} == {
        "nofile": (100, 200), "nproc": (50, 50),
    }  # fmt: skip
    assert list(host["PortBindings"]) == ["80/tcp"]
    assert "/scratch" in host["Tmpfs"]
    networks = made["NetworkSettings"]["Networks"]
    assert set(networks) == {front, back}
    assert {"shop", "web"} <= set(networks[front]["Aliases"])
    assert networks[front]["IPAMConfig"]["IPv4Address"] == f"{subnet}.9"
    mounts = {item["Destination"]: item for item in made["Mounts"]}
    assert mounts["/data"]["Name"] == data
    assert (mounts["/conf"]["Source"], mounts["/conf"]["RW"]) == (f"{tmp_path}/conf", False)
    assert (mounts["/unnamed"]["Type"], mounts["/run/x"]["Type"]) == ("volume", "tmpfs")
    context.engine.start(made["Id"])
    assert context.all()["web-1"]["State"]["Running"]


@pytest.mark.engine
def test_what_runs_is_not_touched(context: TurnContext) -> None:
    network = context.network("default")
    web, job = context.service("web", networks={network: None}), context.service("job")
    context.create(creation(web, 2), creation(job))
    for item in context.all().values():
        context.engine.start(item["Id"])
    context.engine.stop(context.all()["job-1"]["Id"], timeout=0)
    before = context.all()
    changed = replace(web, config={**web.config, "environment": {"NEW": "1"}, "labels": {**LABELS, "new": "1"}})
    context.create(creation(changed, 2), existing={"web": 2})
    after = context.all()
    assert set(after) == {"web-1", "web-2", "web-3", "web-4", "job-1"}
    for name, item in before.items():
        assert (after[name]["Id"], after[name]["State"]) == (item["Id"], item["State"])
    assert {after[name]["State"]["Status"] for name in ("web-3", "web-4")} == {"created"}
    assert "NEW=1" in after["web-3"]["Config"]["Env"]
    assert context.effects.count == 2


@pytest.mark.engine
def test_a_standby_under_another_name_counts(context: TurnContext) -> None:
    web = context.service("web")
    context.create(creation(web))
    context.engine.rename(context.all()["web-1"]["Id"], f"{context.stack}-web-1.standby")
    context.create(creation(web), existing={"web": 1})
    assert set(context.all()) == {"web-1.standby", "web-2"}


@pytest.mark.engine
def test_anonymous_volumes_are_taken_over(
    context: TurnContext, compose_binary: Path, engine: docker.APIClient, images: dict[str, str]
) -> None:
    mount = {"type": "volume", "target": "/own", "volume": {}}
    item = service(context.stack, "db", images["store"], volumes=[mount])
    context.create(creation(item))
    volumes = {found["Destination"]: found["Name"] for found in context.all()["db-1"]["Mounts"]}
    assert set(volumes) == {"/own", "/store"}
    context.create(creation(item, anonymous=volumes), existing={"db": 1})
    assert {found["Destination"]: found["Name"] for found in context.all()["db-2"]["Mounts"]} == volumes
    context.create(creation(item), existing={"db": 2})
    assert not set(volumes.values()) & {found["Name"] for found in context.all()["db-3"]["Mounts"]}


@pytest.mark.engine
def test_namespace_users_are_bound_to_the_container_that_is_named(context: TurnContext) -> None:
    data = context.volume("data")
    mount = {"type": "volume", "source": data, "target": "/data", "volume": {}}
    context.create(creation(context.service("main", volumes=[mount]), 2))
    second = context.all()["main-2"]["Id"]
    namespace_user = context.service(
        "side", network_mode="service:main", pid="service:main", ipc="service:main", volumes_from=["main:ro"]
    )
    context.create(creation(namespace_user, sharing={"main": second}))
    host = context.all()["side-1"]["HostConfig"]
    assert [host[key] for key in ("NetworkMode", "PidMode", "IpcMode")] == [f"container:{second}"] * 3
    assert [item.partition(":")[0] for item in host["VolumesFrom"]] == [second]
    assert context.all()["side-1"]["Mounts"][0]["Name"] == data


@pytest.mark.engine
def test_secrets_pass_by_no_file_and_no_argument(context: TurnContext) -> None:
    item = context.service("web", environment={"TOKEN": "hunter2"})
    assert "hunter2" not in json.dumps(arguments("compose", "shop", [creation(item)], {}))
    context.create(creation(item))
    assert "TOKEN=hunter2" in context.all()["web-1"]["Config"]["Env"]


@pytest.mark.engine
@pytest.mark.parametrize("config", [{"cap_add": ["NO_SUCH"]}, {"runtime": "nosuch"}])
def test_what_the_engine_refuses(context: TurnContext, config: dict[str, Any]) -> None:
    with pytest.raises(RolloutFailed, match=r"(?i)no_?such") as refused:
        context.create(creation(context.service("web", **config)))
    failure = refused.value.failure
    assert (failure.reason, failure.stack, failure.service) == (Reason.ENGINE_REFUSED, context.stack, "web")


@pytest.mark.engine
def test_a_path_of_the_host_that_is_not_there_is_waited_for(context: TurnContext) -> None:
    absent = {"type": "bind", "source": "/absent", "target": "/x", "bind": {"create_host_path": False}}
    with pytest.raises(Transient, match=r"^/absent is not there, and") as failed:
        context.create(creation(context.service("web", volumes=[absent])))
    assert (failed.value.reason, bool(failed.value.hint)) == (Reason.FILE_MISSING, True)
    assert not Path("/absent").exists()


@pytest.mark.engine
@pytest.mark.parametrize(
    "config",
    [
        {"networks": {"absent_net": None}},
        {"image": "sha256:" + "0" * 64},
        {"volumes": [{"type": "volume", "source": "absent_volume", "target": "/x"}]},
    ],
)
def test_what_has_vanished_quarantines_nothing(context: TurnContext, config: dict[str, Any]) -> None:
    with pytest.raises(Transient) as failed:
        context.create(creation(context.service("web", **config)))
    assert not isinstance(failed.value, Away)


def test_an_engine_that_is_away(compose_binary: Path) -> None:
    creator = ComposeCreator(str(compose_binary), "unix:///nonexistent/docker.sock", Effects(), {})
    with pytest.raises(Away):
        creator.create(Stack("shop", (), (), ()), [creation(service("shop", "web", "x"))], {})


def test_the_call_in_full() -> None:
    creations = [creation(service("shop", "web", "x"), 2), creation(service("shop", "db", "x"))]
    assert " ".join(arguments("compose", "shop", creations, {"web": 1, "db": 1})) == (
        "compose -p shop --project-directory / --env-file /dev/null -f - up --no-start --no-deps --no-recreate"
        " --no-build --pull never --scale=web=3 --scale=db=2 -- web db"
    )


def test_the_create_file_names_what_is_there() -> None:
    item = service(
        "shop", "web", "sha256:1", networks={"shop_default": {"aliases": ["w"]}},
        volumes=[{"type": "volume", "source": "shop_data", "target": "/d"}, {"type": "volume", "target": "/a"}],
    )  # fmt: skip
    made = create_file([creation(item, anonymous={"/a": "0" * 64, "/image": "1" * 64})], {})
    assert made["networks"] == {"shop_default": {"name": "shop_default", "external": True}}
    assert list(made["volumes"]) == ["0" * 64, "1" * 64, "shop_data"]
    assert [mount["source"] for mount in made["services"]["web"]["volumes"]] == ["shop_data", "0" * 64, "1" * 64]
    assert item.config["volumes"][1] == {"type": "volume", "target": "/a"}


def test_networks_of_our_own_go_by_their_key() -> None:
    item = service("shop", "web", "x", networks={"shop_front": {"aliases": ["w"]}, "other": None})
    made = create_file([creation(item)], {"shop_front": "front", "shop_unused": "unused"})
    assert made["services"]["web"]["networks"] == {"front": {"aliases": ["w"]}, "other": None}
    assert made["networks"] == {"front": {"name": "shop_front"}, "other": {"name": "other", "external": True}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [("service:main", "container:c1"), ("service:other", "service:other"), ("main", "main"), ("host", "host")],
)
def test_only_the_named_service_is_replaced(given: str, expected: str) -> None:
    item = service("shop", "side", "x", network_mode=given)
    made = create_file([creation(item, sharing={"main": "c1"})], {})
    assert made["services"]["side"]["network_mode"] == expected


def test_dollars() -> None:
    assert escaped({"a$": ["$x", 1, None, {"b": "$$"}]}) == {"a$": ["$$x", 1, None, {"b": "$$$$"}]}
