"""The verdict on containers with different behaviours: good or bad."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.host import GATE, Answer, Host, eventually, new_host
from tests.e2e.services import FOREVER, health, healthy, living, one_shot, service, stated
from tests.e2e.together import Together, started

pytestmark = pytest.mark.engine
together = Together()

COUNT = "n=$(cat /starts 2>/dev/null || echo 0); n=$((n + 1)); echo $n > /starts"
"""Counts the starts of the container in `n`: its file system survives a restart."""


@dataclass(frozen=True)
class Case:
    """A service that replaces a good one. `reason` None: the commit must succeed."""

    service: dict[str, Any]
    reason: str | None = None
    gate: dict[str, str] = field(default_factory=dict)
    says: str = ""


FLAP = "while :; do touch /tmp/healthy; sleep 1; rm /tmp/healthy; sleep 1; done"
STEADY_FOR_4 = {"min_healthy_time": "4s"}

BAD = {
    "dies after two seconds, restart always": Case(service("sleep 2; exit 1"), "Crashed", STEADY_FOR_4, "4 times"),
    "exits 1 at once, restart always": Case(service("exit 1"), "Crashed", says="exit code 1"),
    "healthy once, then unhealthy": Case(
        living("touch /tmp/healthy; sleep 3; rm /tmp/healthy", healthcheck=health()),
        "HealthCheckFailed", {"min_healthy_time": "8s"}, "unhealthy for 3 s",
    ),
    "never healthy": Case(living("", healthcheck=health(start_period="0s")), "HealthCheckFailed", says="unhealthy"),
    "always starting": Case(living("", healthcheck=health()), "HealthCheckFailed", {"healthy_deadline": "3s"}, "3 s"),
    "healthy a moment too late": Case(
        healthy("sleep 5; touch /tmp/healthy"), "HealthCheckFailed", {"healthy_deadline": "4s"}, "still starting"
    ),
    "out of memory again and again": Case(service("exec tail /dev/zero"), "OutOfMemory", says="32 MiB"),
    "a child out of memory while PID 1 lives": Case(
        living("(sleep 0.2; tail /dev/zero) &"), "OutOfMemory", STEADY_FOR_4, "32 MiB"
    ),
    "flapping": Case(
        service(f"({FLAP}) &\n{FOREVER}", healthcheck=health(retries=1)), "HealthCheckFailed",
        {"min_healthy_time": "4s", "unhealthy_grace": "10s", "healthy_deadline": "25s"}, "3 times",
    ),
    "exits 0 although it is to go on": Case(service("exit 0", restart="unless-stopped"), "Crashed", says="exit code 0"),
    "exits 0 although it is to answer, never restarted": Case(
        service("exit 0", restart=None, healthcheck=health()), "Crashed", says="exit code 0"
    ),
    "a program that is not there": Case(service(command=["/no/such/program"]), "Crashed", says="/no/such/program"),
}  # fmt: skip

GOOD = {
    "slow starter": Case(healthy("sleep 4; touch /tmp/healthy")),
    "healthy in the last seconds": Case(healthy("sleep 5; touch /tmp/healthy"), gate={"healthy_deadline": "10s"}),
    "no healthcheck": Case(living("")),
    "crashes twice, then fine": Case(
        service(f"{COUNT}; [ $n -gt 2 ] || exit 1\n{FOREVER}"), gate={"min_healthy_time": "2s"}
    ),
    "unhealthy for a moment": Case(
        living("touch /tmp/healthy; sleep 1; rm /tmp/healthy; sleep 1; touch /tmp/healthy", healthcheck=health()),
        gate=STEADY_FOR_4,
    ),
}


@dataclass(frozen=True)
class End:
    """The result of a case: the turn, the host after it, and the ids of its containers before."""

    turn: Answer
    good: str
    before: dict[str, str]
    after: dict[str, str]
    states: dict[str, str]
    restart: str
    next_effects: int


@pytest.fixture(scope="module")
def ends(compose: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[End]]]:
    folder = tmp_path_factory.mktemp("ends")

    def tell(name: str) -> End:
        with new_host(folder / name.replace(" ", "-"), compose) as host:
            return end_of(host, {**BAD, **GOOD}[name])

    with started([*BAD, *GOOD], tell) as futures:
        yield futures


def end_of(host: Host, case: Case) -> End:
    """Apply a good commit, then the case. So there is a state to roll back to."""
    good = host.push({"web": stated("1"), "db": stated("1")})
    assert host.once().code == 0
    before = host.ids()
    host.push({"web": case.service, "db": stated("1")}, stack={"gate": {**GATE, **case.gate}})
    turn = host.once()
    restart = host.container("web")["HostConfig"]["RestartPolicy"]["Name"]
    return End(turn, good, before, host.ids(), host.states(), restart, host.once()["effects"])


@pytest.mark.parametrize("name", BAD)
def test_a_bad_service_must_be_rolled_back(ends: dict[str, Future[End]], name: str) -> None:
    case, end = BAD[name], ends[name].result()
    turn = end.turn
    assert (turn.code, turn["outcome"], turn["reason"]) == (1, "RolledBack", case.reason), turn["message"]
    assert case.says in turn["message"]
    assert turn["failure"]["service"] == "web"
    assert turn["revertedTo"] == end.good
    assert end.after == end.before
    assert end.states == {"db-1": "running", "web-1": "running"}
    assert end.restart == "always"
    assert end.next_effects == 0


@pytest.mark.parametrize("name", GOOD)
def test_a_good_service_must_succeed(ends: dict[str, Future[End]], name: str) -> None:
    end = ends[name].result()
    assert (end.turn.code, end.turn["outcome"]) == (0, "Succeeded"), end.turn["message"]
    assert [item[-5:] for item in end.after if end.after[item] != end.before[item]] == ["web-1"]
    assert end.states == {"db-1": "running", "web-1": "running"}
    assert end.restart == "always"
    assert end.next_effects == 0


@together.with_one_compose
def test_a_one_shot_must_run_once_and_count_as_healthy_after_its_end(host: Host) -> None:
    services = {"migrate": one_shot("sleep 1; exit 0"), "web": stated("1")}
    host.push(services)
    assert host.once().code == 0
    ran = host.container("migrate")
    assert (ran["State"]["Status"], ran["State"]["ExitCode"]) == ("exited", 0)
    assert host.status()["health"] == "Healthy"
    host.push({**services, "web": stated("2")})
    assert host.once().code == 0
    assert host.container("migrate")["State"]["StartedAt"] == ran["State"]["StartedAt"]
    assert host.container("migrate")["Id"] == ran["Id"]
    assert host.once()["effects"] == 0


@together.with_one_compose
def test_a_one_shot_that_fails_must_be_rolled_back(host: Host) -> None:
    host.push({"migrate": one_shot("exit 0"), "web": stated("1")})
    host.once()
    web = host.container("web")
    web_waits = stated("2", depends_on={"migrate": {"condition": "service_completed_successfully"}})
    host.push({"migrate": one_shot("echo no such table; exit 3"), "web": web_waits})
    turn = host.once()
    assert (turn.code, turn["outcome"], turn["failure"]["exitCode"]) == (1, "RolledBack", 3)
    assert turn["failure"]["log"] == ["no such table"]
    assert host.container("web")["State"]["StartedAt"] == web["State"]["StartedAt"]
    assert host.states() == {"migrate-1": "exited", "web-1": "running"}
    assert host.once()["effects"] == 0


@together.with_one_compose
def test_a_service_that_was_unhealthy_before_must_not_count_against_the_commit(host: Host) -> None:
    sick = living("touch /tmp/healthy; sleep 4; rm /tmp/healthy", healthcheck=health())
    host.push({"sick": sick, "web": stated("1")})
    assert host.once().code == 0
    eventually(lambda: host.container("sick")["State"]["Health"]["Status"] == "unhealthy")
    before = host.container("sick")
    host.push({"sick": sick, "web": stated("2")})
    turn = host.once()
    assert (turn.code, turn["outcome"]) == (0, "Succeeded")
    assert host.container("sick")["State"]["StartedAt"] == before["State"]["StartedAt"]
    status = host.status()
    assert (status.code, status["sync"], status["health"]) == (1, "Synced", "Degraded")


@together.with_one_compose
def test_an_unchanged_service_that_the_commit_breaks_must_fail_the_commit(host: Host) -> None:
    """The client is unchanged and was healthy; it does not become healthy again within the window."""
    client = living("touch /tmp/healthy", healthcheck=health("getent hosts db | grep -q ' db$' && exit 0; exit 1"))
    host.push({"client": client, "db": stated("1")})
    assert host.once().code == 0
    before = host.ids()
    host.push({"client": client, "other": stated("1")}, stack={"gate": {**GATE, "min_healthy_time": "4s"}})
    turn = host.once()
    assert (turn.code, turn["outcome"], turn["failure"]["service"]) == (1, "RolledBack", "client")
    assert host.ids() == before
