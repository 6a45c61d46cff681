"""Hostile containers on the real engine: the agent stays responsive, bounded and correct.

Elsewhere: `tests/e2e/test_mounts.py` (a container that replaces mounted folders during rollouts) and
`tests/e2e/test_waits.py` (one that does not stop, in an advance and in a rollback).
"""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from tests.disks import small_disk
from tests.e2e.host import BUSY, Host, eventually
from tests.e2e.services import escaped, health, healthy, living, service, stated
from tests.e2e.test_agent import applied, resident
from tests.e2e.test_operator import asked
from tests.e2e.together import Together

pytestmark = pytest.mark.engine
together = Together()

PIDS = 48
MOST_JOURNAL = 256 << 10
"""Bytes; a report has 20 lines of a failed service, however much it has printed."""

MOST_LEFT = 64
"""Pages of a disk that is full: a container took the rest, and what the agent has given back since."""

BOMB = """
$SIG{$_} = "IGNORE" for qw(TERM INT HUP);
if (!fork) { $| = 1; print "x" x 200, "\\n" while 1 }
while (1) { my $made = fork; if (!defined $made) { select undef, undef, undef, 0.05 } elsif (!$made) { sleep 1000 } }
"""
FLOOD = "head -c 2000000 /dev/zero | tr '\\0' y; head -c 2000000 /dev/zero | tr '\\0' z >&2; test -e /tmp/healthy"


def bomb(version: str, **more: Any) -> dict[str, Any]:
    """Forks as often as it can, writes without end, and does not stop. Nothing more can be started in it."""
    logs = {"driver": "json-file", "options": {"max-size": "1m", "max-file": "2"}}
    return service(
        command=["perl", "-e", escaped(BOMB)], environment={"VERSION": version}, pids_limit=PIDS, mem_limit="64m",
        stop_grace_period="1s", logging=logs, **more,
    )  # fmt: skip


def journal(host: Host) -> int:
    return (host.state / "journal.jsonl").stat().st_size


def corrected(host: Host, service: str, within: float) -> None:
    """Somebody stops it by hand, and the agent starts it again in time."""
    host.engine.kill(host.container(service)["Id"])
    begun = time.monotonic()
    eventually(lambda: host.states().get(f"{service}-1") == "running", within)
    assert time.monotonic() - begun < BUSY * within


@together.with_one_compose
def test_who_forks_and_floods_and_does_not_stop_is_held_to_its_bounds(host: Host) -> None:
    web = stated("1")
    first = host.push({"web": web, "db": stated("1")})
    with host.started("run") as agent:
        eventually(lambda: applied(host, first), 30)
        fighting = host.push({"web": web, "db": stated("1"), "bomb": bomb("1")})
        eventually(lambda: applied(host, fighting), 30)
        assert int(host.container("bomb")["HostConfig"]["PidsLimit"]) == PIDS
        assert len(host.engine.top(host.container("bomb")["Id"])["Processes"]) <= PIDS
        corrected(host, "web", 15)
        eventually(lambda: host.status()["sync"] == "Synced", 15)  # once the repair is over
        # It is replaced by its like, and that one is rolled back: both do not stop.
        failing = bomb("2") | {"healthcheck": health("false", start_period="1s")}
        broken = host.push({"web": web, "db": stated("1"), "bomb": failing})
        eventually(lambda: host.note(broken), 60)
        assert host.status()["lastGoodRevision"] == fighting
        assert host.states() == {"web-1": "running", "db-1": "running", "bomb-1": "running"}
        last = host.push({"web": web, "db": stated("2")})
        eventually(lambda: applied(host, last), 30)
        assert resident(agent) < 96
    assert host.states() == {"web-1": "running", "db-1": "running"}
    assert journal(host) < MOST_JOURNAL
    assert (host.state / "status.json").stat().st_size < MOST_JOURNAL


@together.with_one_compose
def test_who_fails_with_a_flood_is_reported_in_few_words(host: Host) -> None:
    first = host.push({"web": healthy()})
    assert host.once().code == 0
    flood = living("yes aaaaaaaaaaaaaaaaaaaaaaaaaa | head -c 20000000", healthcheck=health(FLOOD, start_period="1s"))
    sha = host.push({"web": flood})
    turn = host.once()
    assert (turn["outcome"], turn["revertedTo"]) == ("RolledBack", first), turn.document
    note = host.note(sha)
    assert note is not None
    assert len(note.text) < 32 << 10
    assert journal(host) < MOST_JOURNAL
    assert host.states() == {"web-1": "running"}


@together.with_one_compose
def test_who_dies_in_rhythm_with_the_gate_does_not_pass_it(host: Host) -> None:
    """It is healthy for a little less than min_healthy_time after each start."""
    first = host.push({"web": healthy()})
    assert host.once().code == 0
    web = service("touch /tmp/healthy; sleep 0.7; exit 1", healthcheck=health())
    sha = host.push({"web": web})
    turn = host.once()
    assert (turn["outcome"], turn["revertedTo"]) == ("RolledBack", first), turn.document
    assert [item["revision"] for item in host.status()["quarantinedRevisions"]] == [sha]
    before = host.ids()
    assert host.once()["effects"] == 0
    assert host.ids() == before


@together.with_one_compose
def test_who_dies_after_the_gate_again_and_again_holds_nothing_up(host: Host) -> None:
    flap = service("touch /tmp/healthy; sleep 2; exit 1", healthcheck=health())
    first = host.push({"web": stated("1"), "flap": flap})
    with host.started("run"):
        eventually(lambda: applied(host, first), 30)
        eventually(lambda: host.container("flap")["RestartCount"] >= 2 or host.states()["flap-1"] == "exited", 30)
        corrected(host, "web", 15)
        newer = host.push({"web": stated("2"), "flap": flap})
        eventually(lambda: applied(host, newer) or host.note(newer), 60)
        asked(host, "suspend", "--reason", "x")
        asked(host, "resume")
        last = host.push({"web": stated("3"), "db": stated("1")})
        eventually(lambda: applied(host, last), 60)
    assert host.states() == {"web-1": "running", "db-1": "running"}
    assert journal(host) < MOST_JOURNAL


@together.with_one_compose
def test_who_fills_the_disk_below_its_data_quarantines_no_commit(host: Host) -> None:
    with small_disk(host.state, 48):
        hog = living("cat /dev/zero >/d/zeros; touch /tmp/full", volumes=["./data:/d"], mem_limit="128m")
        files = {"conf": "x" * (256 << 10)}
        mounted = living("", volumes=["./conf:/conf"])
        host.push({"web": stated("1"), "hog": hog})
        assert host.once().code == 0
        eventually(lambda: os.statvfs(host.state).f_bavail < MOST_LEFT, 30)
        web = host.ids()[f"{host.stack}-web-1"]
        sha = host.push({"web": stated("1"), "hog": hog, "more": mounted}, files)
        turn = host.once()
        assert turn.code in (0, 3), turn.document
        assert host.ids()[f"{host.stack}-web-1"] == web
        assert host.status()["quarantinedRevisions"] == []
        host.exec("hog-1", "rm /d/zeros")
        eventually(lambda: host.once().code == 0, 60)
        assert host.status()["lastGoodRevision"] == sha
