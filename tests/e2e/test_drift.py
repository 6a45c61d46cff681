"""Every manual change of managed containers is found, reported and corrected: by the next turn, and by a running agent
at once."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

import docker
import pytest

from reconciler.engine import connect
from tests.conftest import engine_address
from tests.e2e.host import Host, eventually
from tests.e2e.services import living, service, stated
from tests.e2e.together import Together

pytestmark = pytest.mark.engine
together = Together()

MIB = 1 << 20
DATA: dict[str, Any] = {"volumes": {"data": {}}}


def applied(host: Host, services: dict[str, Any], **document: Any) -> None:
    host.push(services, **document)
    assert host.once()["outcome"] == "Succeeded"


def told_of_drift(host: Host) -> list[str]:
    """Take a turn that corrects drift. Returns its message, one entry per service. The next turn must have no work."""
    turn = host.once()
    assert (turn.code, turn["outcome"], turn["reason"]) == (0, "Succeeded", "DriftCorrected"), turn["message"]
    again = host.once()
    assert (again.code, again["outcome"], again["effects"]) == (0, "Unchanged", 0), again["message"]
    assert set(host.states().values()) == {"running"}
    return str(turn["message"]).removeprefix("corrected: ").replace(f"{host.stack}/", "").split("; ")


def update(client: docker.APIClient, container: str, **limits: Any) -> None:
    assert client.post(f"{client.base_url}/v1.44/containers/{container}/update", json=limits).status_code == 200


def shape(host: Host) -> dict[str, Any]:
    """Facts of the containers that a correction in place does not change."""
    return {name: (item["Id"], item["State"]["StartedAt"]) for name, item in host.containers().items()}


@together.with_one_compose
def test_drift_that_can_be_corrected_in_place_must_not_cause_a_restart(host: Host) -> None:
    www = {"default": {"aliases": ["www"]}}
    names = ("policy", "paused", "cut", "unnamed", "guest", "renamed")
    limited = service(pids_limit=50, cpus=0.5)
    applied(host, {"limits": limited, **{name: service(networks=www) for name in names}})
    before, network = shape(host), f"{host.stack}_default"
    client, ids = connect(engine_address()), {name: host.container(name)["Id"] for name in ("limits", *names)}
    update(client, ids["limits"], Memory=64 * MIB, MemorySwap=64 * MIB, PidsLimit=9, NanoCpus=10**9)
    update(client, ids["policy"], RestartPolicy={"Name": "no"})
    client.pause(ids["paused"])
    client.disconnect_container_from_network(ids["cut"], network)
    client.disconnect_container_from_network(ids["unnamed"], network)
    client.connect_container_to_network(ids["unnamed"], network)
    client.connect_container_to_network(ids["guest"], "bridge")
    client.rename(ids["renamed"], f"{host.stack}-mine")
    assert set(told_of_drift(host)) == {
        "limits: memory 64 MiB instead of 32 MiB", "memory with swap 64 MiB instead of 32 MiB",
        "pids 9 instead of 50", "cpus 1 instead of 0.5",
        "policy: restart policy no instead of always",
        "paused: it is paused",
        f"cut: network {network}: not connected",
        f"unnamed: network {network}: no alias unnamed, www",
        "guest: network bridge: it is not the service's",
        f"renamed: it is called {host.stack}-mine",
    }  # fmt: skip
    assert shape(host) == before
    settings = host.container("limits")["HostConfig"]
    assert (settings["Memory"], settings["MemorySwap"], settings["PidsLimit"]) == (32 * MIB, 32 * MIB, 50)
    assert (settings["NanoCpus"], settings["RestartPolicy"]["Name"]) == (5 * 10**8, "always")
    assert host.container("policy")["HostConfig"]["RestartPolicy"]["Name"] == "always"
    assert set(host.container("guest")["NetworkSettings"]["Networks"]) == {network}


@together.with_every_compose
def test_other_drift_must_start_or_replace_only_the_changed_containers(host: Host) -> None:
    keeping = living("echo kept >>/data/file", volumes=["data:/data"])
    names = ("stopped", "removed", "weighed", "peer")
    applied(host, {"db": keeping, **{name: stated("1") for name in names}}, **DATA)
    before, client = host.ids(), connect(engine_address())
    client.stop(before[f"{host.stack}-stopped-1"], timeout=1)
    client.remove_container(before[f"{host.stack}-removed-1"], force=True)
    update(client, before[f"{host.stack}-weighed-1"], CpuShares=512)
    db = host.container("db")
    doubled = client.create_container(
        db["Image"], ["sleep", "600"], name=f"{host.stack}-db-2",
        labels={**db["Config"]["Labels"], "com.docker.compose.container-number": "2"},
        host_config=client.create_host_config(binds=[f"{host.stack}_data:/data"]),
    )  # fmt: skip
    client.start(doubled["Id"])
    told = told_of_drift(host)
    assert {"stopped: it is not running", "removed: its container is gone"} <= set(told)
    assert "weighed: cpu shares 512 instead of 0" in told
    assert [item for item in told if item.startswith("db: ")], told
    after = host.ids()
    same = {name.removeprefix(f"{host.stack}-") for name in before if after[name] == before[name]}
    assert same == {"db-1", "stopped-1", "peer-1"}
    assert doubled["Id"] not in after.values()
    assert host.container("weighed")["HostConfig"]["CpuShares"] == 0
    assert host.exec("db-1", "cat /data/file") == "kept", "nobody started it again"


@together.with_one_compose
def test_a_namespace_user_starts_again_after_its_owner(host: Host) -> None:
    applied(host, {"vpn": stated("1"), "user": stated("1", network_mode="service:vpn")})
    before = shape(host)
    connect(engine_address()).restart(host.container("vpn")["Id"], timeout=1)
    assert host.exec("user-1", "ls /sys/class/net") == "lo", "the engine leaves it in the network that is gone"
    assert told_of_drift(host) == ["user: vpn, whose namespace it uses, started after it"]
    assert "eth0" in host.exec("user-1", "ls /sys/class/net")
    assert [item[0] for item in shape(host).values()] == [item[0] for item in before.values()]


@together.with_every_compose
def test_changes_by_a_users_own_compose_must_be_corrected_without_loss(host: Host) -> None:
    keeping = living("echo kept >>/data/file", volumes=["data:/data"])
    applied(host, {"db": keeping, "web": stated("1")}, **DATA)
    file = host.folder / "compose.yaml"
    file.write_text(json.dumps({"services": {"db": keeping, "web": stated("other")}, **DATA}))

    def compose(*arguments: str) -> None:
        words = [str(host.compose), "compose", "-p", host.stack, "-f", str(file), *arguments]
        words = words if host.compose.name == "docker" else [words[0], *words[2:]]
        subprocess.run(words, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)

    compose("up", "-d", "--force-recreate")
    assert host.exec("web-1", "echo $VERSION") == "other"
    told_of_drift(host)
    assert host.exec("web-1", "echo $VERSION") == "1"
    compose("down", "-t", "1")
    assert {"db: its container is gone", "web: its container is gone"} <= set(told_of_drift(host))
    assert set(host.states()) == {"db-1", "web-1"}
    assert host.exec("db-1", "sort -u /data/file") == "kept"


@together.with_one_compose
def test_an_agent_must_correct_drift_before_its_next_interval(host: Host) -> None:
    host.configure(source={"interval": "10m"})
    check = {"test": ["CMD-SHELL", "test ! -e /tmp/ill"], "interval": "500ms", "retries": 1}
    sick = living("rm -f /tmp/ill", healthcheck=check)
    sha = host.push({"web": stated("1"), "sick": sick}, stack={"gate": {"unhealthy_grace": "1s"}})
    with host.started("run"):
        eventually(lambda: good(host, sha), 40)
        client, web = connect(engine_address()), host.container("web")["Id"]
        for harm in (lambda: client.stop(web, timeout=1), lambda: client.pause(web)):
            before = len(corrected(host))
            harm()
            eventually(lambda known=before: len(corrected(host)) > known, 15)  # an event wakes it
        started = host.container("sick")["State"]["StartedAt"]
        host.exec("sick-1", "touch /tmp/ill")
        eventually(lambda: any("sick: unhealthy for" in item["message"] for item in corrected(host)), 30)
        assert host.container("sick")["State"]["StartedAt"] > started


@together.with_one_compose
def test_a_service_that_keeps_failing_must_be_given_up_and_reported(host: Host) -> None:
    check = {"test": ["CMD-SHELL", "test ! -e /data/ill"], "interval": "500ms", "retries": 1}
    soon = {"gate": {"unhealthy_grace": "1s"}}
    applied(host, {"web": service(healthcheck=check, volumes=["data:/data"])}, stack=soon, **DATA)
    # Add four records of starts in the last minutes to the journal.
    journal, now = host.state / "journal.jsonl", datetime.now(UTC)
    version = json.loads(journal.read_text().splitlines()[0])["v"]
    for minutes in (7, 6, 5, 4):
        at = (now - timedelta(minutes=minutes)).isoformat()
        record = {"v": version, "kind": "healed", "at": at, "stack": host.stack, "service": "web"}
        with journal.open("a") as file:
            file.write(json.dumps(record) + "\n")
    host.exec("web-1", "touch /data/ill")
    eventually(lambda: host.container("web")["State"]["Health"]["FailingStreak"] >= 4)
    assert "web: unhealthy for" in host.once()["message"], "the fifth start"
    eventually(lambda: host.container("web")["State"]["Health"]["Status"] == "unhealthy")
    turn = host.once()
    assert (turn.code, turn["effects"], turn["reason"]) == (1, 0, "HealthCheckFailed"), turn["message"]
    assert "after 5 starts within 10 minutes it is left alone" in turn["message"]
    status = host.status()
    assert (status.code, status["health"], status["reason"]) == (1, "Degraded", "HealthCheckFailed")
    assert "after 5 starts within 10 minutes it is left alone" in status["message"]


def records(host: Host) -> list[dict[str, Any]]:
    path = host.state / "journal.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def good(host: Host, sha: str) -> bool:
    return any(item.get("good") and item["revision"] == sha for item in records(host))


def corrected(host: Host) -> list[dict[str, Any]]:
    return [item for item in records(host) if item.get("reason") == "DriftCorrected"]


@together.with_one_compose
def test_a_removed_volume_is_made_anew_and_reported_as_empty(host: Host) -> None:
    applied(host, {"db": living("echo data >>/data/file", volumes=["data:/data"])}, **DATA)
    first = host.history()[0]
    assert not [item for item in first["warnings"] if item["rule"] == "volume-made-anew"]
    name = f"{host.stack}_data"
    host.engine.remove_container(host.container("db")["Id"], force=True)
    host.engine.remove_volume(name)
    (step,) = [item for item in host.plan()["steps"] if item["action"] == "CreateVolume"]
    assert step["cause"] == "somebody removed this volume: it is made anew and is empty"
    turn = host.once()
    told = f"volume {name} was made anew and is empty: somebody had removed it"
    assert turn["reason"] == "DriftCorrected"
    assert f"{host.stack}/{name}: {step['cause']}" in turn["message"]
    assert told in turn.stderr
    for warnings in (turn["warnings"], host.history()[0]["warnings"], host.status()["warnings"]):
        assert told in [item["message"] for item in warnings]
    assert host.exec("db-1", "cat /data/file") == "data"
    assert host.once()["outcome"] == "Unchanged"
    assert "volume-made-anew" in host.text("status")
    assert "removed this volume" in host.text("history")
