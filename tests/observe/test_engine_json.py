"""The engine's answers as it gives them (Engine 26.1, shortened), read as nouns."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model.observed import Mount
from reconciler.observe import containers as read

LISTED: dict[str, Any] = {
    "Id": "8bc29d251fb9aa78fe230770a47d8d203a12ec41a46ef313064ffb338d7d40d6",
    "Names": ["/other/alias", "/shop-web-1"],
    "ImageID": "sha256:901a",
    "Ports": [
        {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        {"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        {"PrivatePort": 443, "Type": "tcp"},
    ],
    "Labels": {
        "com.docker.compose.project": "shop",
        "com.docker.compose.config-hash": "0",
        "com.docker.compose.service": "web",
        "com.docker.compose.container-number": "3",
        "com.docker.compose.oneoff": "False",
        "dev.reconciler.spec": "abc",
        "dev.reconciler.host": "mini",
    },
    "State": "running",
    "Status": "Up 3 seconds (health: starting)",
    "HostConfig": {"NetworkMode": "shop_default"},
    "NetworkSettings": {"Networks": {"shop_default": {}, "shop_back": {}}},
    "Mounts": [
        {"Type": "volume", "Name": "shop_data", "Source": "", "Destination": "/data", "RW": True},
        {"Type": "bind", "Source": "/srv/x", "Destination": "/a", "RW": False},
    ],
}


def test_list_entry() -> None:
    found = read.listed(LISTED)
    assert (found.name, found.stack, found.service, found.number) == ("shop-web-1", "shop", "web", 3)
    assert (found.state, found.health, found.spec, found.host) == ("running", "starting", "abc", "mini")
    assert found.networks == {"shop_default", "shop_back"}
    assert found.mounts == (Mount("bind", "/srv/x", "/a", False), Mount("volume", "shop_data", "/data", True))
    assert found.ports == (("0.0.0.0", 8080, "tcp"), ("::", 8080, "tcp"))
    assert not found.oneoff
    assert not found.detailed


@pytest.mark.parametrize(
    ("state", "status", "health"),
    [
        ("running", "Up 2 hours", "none"),
        ("running", "Up 2 hours (healthy)", "healthy"),
        ("running", "Up 2 hours (unhealthy)", "unhealthy"),
        ("running", "Up Less than a second (health: starting)", "starting"),
        ("paused", "Up 2 hours (Paused)", "none"),
        ("exited", "Exited (0) 2 hours ago", "none"),
        ("exited", "Exited (137) 2 hours ago (unhealthy)", "none"),
        ("restarting", "Restarting (1) 2 seconds ago", "none"),
        ("created", "Created", "none"),
    ],
)
def test_health_in_words(state: str, status: str, health: str) -> None:
    assert read.listed(LISTED | {"State": state, "Status": status}).health == health


@pytest.mark.parametrize(("status", "code"), [("Exited (3) 2 hours ago", 3), ("Exited (0) 1 second ago", 0), ("Up", 0)])
def test_exit_code_in_words(status: str, code: int) -> None:
    assert read.listed(LISTED | {"State": "exited", "Status": status}).exit_code == code


@pytest.mark.parametrize(("number", "expected"), [("2", 2), ("", 0), ("-1", 0), ("x", 0)])
def test_strange_number_is_none(number: str, expected: int) -> None:
    labels = LISTED["Labels"] | {"com.docker.compose.container-number": number}
    assert read.listed(LISTED | {"Labels": labels}).number == expected


def test_one_off_is_flagged() -> None:
    assert read.listed(LISTED | {"Labels": {"com.docker.compose.oneoff": "True"}}).oneoff


def inspected(host: dict[str, Any] | None = None, state: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "Id": "f" * 64,
        "Name": "/shop-web-1",
        "Image": "sha256:901a",
        "RestartCount": 2,
        "Config": {"Labels": LISTED["Labels"]},
        "State": {"Status": "running", "Running": True, "StartedAt": "2026-01-01T00:00:00.5Z"} | (state or {}),
        "HostConfig": {"NetworkMode": "shop_default", "Memory": 1 << 25, "RestartPolicy": {"Name": "no"}}
        | (host or {}),
        "NetworkSettings": {"Networks": {}, "Ports": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}},
        "Mounts": [],
    }


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({"Name": "no", "MaximumRetryCount": 0}, "no"),
        ({"Name": "", "MaximumRetryCount": 0}, "no"),
        ({}, "no"),
        ({"Name": "always"}, "always"),
        ({"Name": "unless-stopped"}, "unless-stopped"),
        ({"Name": "on-failure", "MaximumRetryCount": 0}, "on-failure"),
        ({"Name": "on-failure", "MaximumRetryCount": 5}, "on-failure:5"),
    ],
)
def test_restart_policy_in_composes_spelling(policy: dict[str, Any], expected: str) -> None:
    assert read.inspected(inspected({"RestartPolicy": policy})).restart == expected


def test_shared_namespaces_and_volumes_are_ids() -> None:
    host = {
        "NetworkMode": "container:aaa",
        "PidMode": "container:bbb",
        "IpcMode": "private",
        "VolumesFrom": ["ccc:ro", "ddd"],
    }
    assert read.inspected(inspected(host)).shares == {"aaa", "bbb", "ccc", "ddd"}


def test_ports_of_a_container_that_does_not_run_are_those_it_would_take() -> None:
    chosen, to_choose = {"HostIp": "", "HostPort": "9090"}, {"HostIp": "", "HostPort": ""}
    bindings = {"80/tcp": [chosen], "53/udp": [to_choose], "1/tcp": None}
    stopped = inspected({"PortBindings": bindings}, {"Status": "exited", "Running": False})
    assert read.inspected(stopped).ports == (("", 9090, "tcp"),)
    assert read.inspected(inspected()).ports == (("127.0.0.1", 8080, "tcp"),)


def test_container_that_never_ran_has_no_start() -> None:
    state = {"Status": "created", "Running": False, "StartedAt": "0001-01-01T00:00:00Z"}
    assert read.inspected(inspected(state=state)).started_at == ""


def test_limit_goes_before_what_is_counted() -> None:
    assert read.inspected(inspected(), counted=5).memory == 1 << 25
    assert read.inspected(inspected({"Memory": 0}), counted=5).memory == 5


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        ({"usage": 100, "stats": {"total_inactive_file": 30, "inactive_file": 7}}, 70),
        ({"usage": 100, "stats": {"inactive_file": 30}}, 70),
        ({"usage": 10, "stats": {"inactive_file": 30}}, 0),
        ({}, 0),
    ],
    ids=["cgroup v1", "cgroup v2", "cache newer than usage", "not running"],
)
def test_working_set(memory: dict[str, Any], expected: int) -> None:
    assert read.working_set({"memory_stats": memory}) == expected
