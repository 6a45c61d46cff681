"""Services that are replaced start-first, and services with a trial, on the real engine."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.host import Host
from tests.e2e.services import BROKEN, ask, health, healthy, server, service, stated
from tests.e2e.test_exclusive import ports
from tests.e2e.together import Together

pytestmark = pytest.mark.engine
together = Together()

START_FIRST: dict[str, Any] = {"update_config": {"order": "start-first"}}


def web(version: str, **more: Any) -> dict[str, Any]:
    check = health(f"{ask('127.0.0.1')} | grep -q .")
    return server(version, healthcheck=check, deploy=START_FIRST, **more)


def records(turn: Any) -> dict[str, tuple[str, float]]:
    return {item["service"]: (item["action"], item["downtimeSeconds"]) for item in turn["services"]}


def born(host: Host) -> tuple[str, str]:
    """The container's id, and the time of its start."""
    found = host.container("web")
    return found["Id"], found["State"]["StartedAt"]


@together.with_every_compose
def test_forward_and_back_without_downtime(host: Host) -> None:
    def push(version: str, worker: dict[str, Any]) -> None:
        host.push({"web": web(version), "worker": {**worker, "depends_on": {"web": {"condition": "service_healthy"}}}})

    push("1", stated("1"))
    assert host.once()["outcome"] == "Succeeded"
    first = born(host)
    push("2", stated("1"))
    [told] = host.plan()["downtime"]
    assert (told["order"], told["atMostSeconds"], told["why"]) == ("start-first", 0, None)
    turn = host.once()
    assert turn["outcome"] == "Succeeded", turn["message"]
    assert records(turn)["web"] == ("Switched", 0)
    second = born(host)
    assert second != first
    assert host.exec("worker-1", ask("web")) == "2"
    assert host.once()["effects"] == 0

    push("3", BROKEN)
    turn = host.once()
    assert turn["outcome"] == "RolledBack", turn["message"]
    assert records(turn)["web"] == ("Switched", 0)
    assert born(host)[0] == second[0], "the standby serves again"
    assert born(host)[1] != second[1], "it had been stopped"
    assert host.exec("worker-1", ask("web")) == "2"
    assert host.states() == {"web-1": "running", "worker-1": "running"}
    assert host.once()["effects"] == 0


@together.with_every_compose
def test_a_commit_that_never_becomes_healthy_stops_nothing(host: Host) -> None:
    host.push({"web": web("1")})
    assert host.once()["outcome"] == "Succeeded"
    before = born(host)
    host.push({"web": web("2") | {"healthcheck": health("false", start_period="1s", retries=1)}})
    turn = host.once()
    assert (turn["outcome"], turn["reason"]) == ("RolledBack", "HealthCheckFailed")
    assert records(turn)["web"][1] == 0
    assert born(host) == before
    assert host.states() == {"web-1": "running"}


@together.with_one_compose
def test_running_requests_end_well(host: Host) -> None:
    """The old container gets its signal after the drain, and still answers its running requests."""
    slow = (
        "$SIG{TERM} = sub { $end = 1 }; $s = IO::Socket::INET->new(Listen => 5, LocalPort => 8080, ReuseAddr => 1); "
        'while (!$end) { $c = $s->accept or next; sleep 4; print $c "$ENV{SAYS}\\n"; close $c }'
    )
    program = ["perl", "-MIO::Socket::INET", "-e", slow.replace("$", "$$")]

    def push(version: str) -> None:
        made = service(command=program, environment={"SAYS": version}, deploy=START_FIRST)
        host.push({"web": made | {"x-reconciler": {"drain": "1s"}}, "client": healthy()})

    push("1")
    assert host.once()["outcome"] == "Succeeded"
    push("2")
    asks = ask("web").replace(" && ", " && touch /tmp/asked && ")
    host.exec("client-1", f"({asks} > /tmp/answer; touch /tmp/answered) > /dev/null 2>&1 &")
    host.exec("client-1", "until test -e /tmp/asked; do sleep 0.05; done")  # else the new one may be asked
    assert host.once()["outcome"] == "Succeeded"
    host.exec("client-1", "for n in $(seq 100); do test -e /tmp/answered && break; sleep 0.1; done")
    assert host.exec("client-1", "cat /tmp/answer") == "1"


@together.with_every_compose
def test_a_trial_finds_a_bad_commit_before_anything_stops(host: Host) -> None:
    [port] = ports(1)

    def push(version: str, **more: Any) -> None:
        made = server(version, ports=[f"127.0.0.1:{port}:8080"], volumes=["data:/data"], hostname="front", **more)
        host.push({"web": made | {"x-reconciler": {"trial": {"time": "1s"}}}}, volumes={"data": {}})

    push("1", healthcheck=health(f"{ask('127.0.0.1')} | grep -q ."))
    assert host.once()["outcome"] == "Succeeded"
    before = born(host)
    push("2", healthcheck=health("false", start_period="1s", retries=1))
    turn = host.once()
    assert (turn["outcome"], turn["reason"]) == ("Rejected", "HealthCheckFailed"), turn["message"]
    assert "its trial failed, and nothing was stopped" in turn["message"]
    assert (born(host), host.states()) == (before, {"web-1": "running"})
    assert records(turn).get("web", ("Unchanged", 0))[1] == 0
    push("3", healthcheck=health(f"test ! -e /data/x && {ask('127.0.0.1')} | grep -q 3"))
    turn = host.once()
    assert turn["outcome"] == "Succeeded", turn["message"]
    assert host.states() == {"web-1": "running"}
    assert records(turn)["web"][0] == "Switched"
    assert host.volumes() == {f"{host.stack}_data"}
    assert host.once()["effects"] == 0
