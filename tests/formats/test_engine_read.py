"""The requests to the engine that a tool in a container may make, and the answers that it gets."""

from __future__ import annotations

import pytest

from reconciler.formats.engine_read import passed

READ = [
    ("GET", "/_ping"),
    ("HEAD", "/_ping"),
    ("GET", "/v1.44/version"),
    ("GET", "/v1.44/info"),
    ("GET", "/v1.44/events"),
    ("GET", "/containers/json"),
    ("GET", "/v1.45/containers/shop-web-1/json"),
    ("GET", "/v1.44/containers/shop-web-1/stats"),
    ("GET", "/v1.44/networks"),
    ("GET", "/v1.44/networks/shop_default"),
    ("GET", "/v1.44/images/example.com/team/web:1.2/json"),
    ("GET", "/v1.44/images/web@sha256:0a1b/json"),
]

REFUSED = [
    ("POST", "/v1.44/containers/create"),
    ("POST", "/v1.44/containers/web/exec"),
    ("DELETE", "/v1.44/containers/web"),
    ("PUT", "/v1.44/containers/web/archive"),
    ("HEAD", "/v1.44/containers/web/archive"),
    ("GET", "/v1.44/containers/web/archive"),
    ("GET", "/v1.44/containers/web/export"),
    ("GET", "/v1.44/containers/web/attach/ws"),
    ("GET", "/v1.44/containers/web/top"),
    ("GET", "/v1.44/containers/web/changes"),
    ("GET", "/v1.44/containers/web/logs"),
    ("GET", "/v1.44/exec/0a1b/json"),
    ("GET", "/v1.44/images/get"),
    ("GET", "/v1.44/images/web/get"),
    ("GET", "/v1.44/volumes"),
    ("GET", "/v1.44/secrets"),
    ("GET", "/v1.44/configs/x"),
    ("GET", "/v1.44/swarm/unlockkey"),
    ("GET", "/v1.44/session"),
    ("GET", "/v1.44/system/df"),
    ("GET", "/v1.44/plugins"),
    ("GET", "/v1.44/../containers/web/archive"),
    ("GET", "/containers/json/../../images/get"),
    ("GET", "//containers/web/archive"),
    ("GET", "/containers/web%2farchive"),
    ("GET", "/containers/web/archive?x=/containers/json"),
    ("GET", "/containers/json#/archive"),
    ("GET", "/images/a/../../containers/web/json"),
    ("GET", "http://docker/containers/json"),
    ("GET", "*"),
    ("get", "/containers/json"),
    ("GET", "/containers/json\n"),
    ("GET", "/containers/json?filters=" + "x" * 9000),
]


@pytest.mark.parametrize(("method", "target"), READ)
def test_what_tools_read_passes(method: str, target: str) -> None:
    found = passed(method, target, logs=False)
    assert found is not None
    assert found.target == target


@pytest.mark.parametrize(("method", "target"), REFUSED)
def test_all_else_is_refused(method: str, target: str) -> None:
    assert passed(method, target, logs=False) is None


def test_output_of_containers_needs_its_own_socket() -> None:
    found = passed("GET", "/v1.44/containers/web/logs?stdout=1&tail=10&details=1", logs=True)
    assert found is not None
    assert found.target == "/v1.44/containers/web/logs?stdout=1&tail=10"


def test_parameters_that_are_not_listed_are_dropped() -> None:
    found = passed("GET", "/containers/json?all=1&size=1&filters=%7B%22label%22%3A%5B%22a%3Db%22%5D%7D", logs=False)
    assert found is not None
    assert found.target == "/containers/json?all=1&filters=%7B%22label%22%3A%5B%22a%3Db%22%5D%7D"


def test_of_a_container_values_of_variables_mounts_and_commands_are_hidden() -> None:
    found = passed("GET", "/containers/web/json", logs=False)
    assert found is not None
    assert found.mask is not None
    value = found.mask(
        {
            "Id": "1", "Name": "/web", "Path": "serve", "Args": ["--password", "canary"],
            "State": {"Status": "running", "Pid": 7, "Health": {"Status": "healthy", "Log": [{"Output": "canary"}]}},
            "Config": {"Env": ["DB_PASSWORD=canary", "EMPTY"], "Cmd": ["canary"], "Labels": {"a": "b"},
                       "Healthcheck": {"Test": ["canary"]}, "Entrypoint": ["canary"]},
            "HostConfig": {"Binds": ["/canary:/x"], "NetworkMode": "shop",
                           "LogConfig": {"Type": "local", "Config": {"c": "canary"}}},
            "GraphDriver": {"Data": {"UpperDir": "/canary"}}, "LogPath": "/canary", "Mounts": [{"Source": "/canary"}],
            "NetworkSettings": {"Ports": {"80/tcp": None},
                                "Networks": {"shop": {"IPAddress": "10.0.0.2"}}, "SandboxKey": "/canary"},
        }
    )  # fmt: skip
    assert "canary" not in str(value)
    assert value["Config"]["Env"] == ["DB_PASSWORD=***", "EMPTY=***"]
    assert value["Config"]["Labels"] == {"a": "b"}
    assert value["State"]["Health"]["Status"] == "healthy"
    assert value["NetworkSettings"]["Networks"]["shop"]["IPAddress"] == "10.0.0.2"


def test_of_events_the_commands_of_others_are_hidden() -> None:
    found = passed("GET", "/events", logs=False)
    assert found is not None
    assert found.mask is not None
    ran = found.mask(
        {"Type": "container", "Action": "exec_create: sh -c canary", "status": "exec_create: sh -c canary"}
    )
    assert ran == {"Type": "container", "Action": "exec_create", "status": "exec_create"}
    assert found.mask({"Action": "health_status: healthy"})["Action"] == "health_status: healthy"
