"""A forge gets the real outcomes of commits over HTTP. The program runs as a process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.host import Host, eventually, new_host
from tests.e2e.services import BROKEN, healthy, stated
from tests.report.fake_forge import TOKEN, FakeForge, serving

pytestmark = pytest.mark.engine


@pytest.fixture
def forge() -> Iterator[FakeForge]:
    with serving("github") as made:
        yield made
        assert made.wrong == []
        assert made.tokens <= {TOKEN}


@pytest.fixture
def host(tmp_path: Path, compose: Path, forge: FakeForge) -> Iterator[Host]:
    token = tmp_path / "token"
    token.write_text(TOKEN + "\n")
    os.chmod(token, 0o600)
    named = {"kind": "github", "api": forge.api, "repository": "me/home", "token_file": str(token)}
    with new_host(tmp_path / "host", compose, report={"forge": named, "deployments": True}) as made:
        yield made
        assert TOKEN not in "".join(made.outputs)


def test_a_good_commit_a_bad_one_and_its_revert(host: Host, forge: FakeForge) -> None:
    context, stack = f"reconciler/{host.name}", f"reconciler/{host.name}/{host.stack}"
    good = host.push({"web": stated("1")})
    assert host.once()["outcome"] == "Succeeded"
    assert forge.states(good, context)[-1] == forge.states(good, stack)[-1] == "success"
    assert f"<!-- reconciler:{host.name} -->" in forge.comments_of(good)[0]

    bad = host.push({"web": BROKEN | {"restart": "no"}})
    assert host.once()["outcome"] == "RolledBack"
    assert forge.states(bad, context)[-1] == forge.states(bad, stack)[-1] == "failure"
    assert [state for state in forge.states(bad, context) if state != "pending"] == ["failure"]
    (comment,) = forge.comments_of(bad)
    assert "rolled back" in comment
    assert "    the broken one" in comment, "the failing service's log"

    revert = host.revert(good)
    assert host.once()["outcome"] == "Succeeded"
    for subject in (context, stack):
        assert forge.states(revert, subject) == ["success"]
        assert forge.newest(revert, subject)["description"] == "healthy; nothing had to restart"
    assert forge.comments_of(revert) == []
    deployed = {item["sha"]: item["states"][-1] for item in forge.deployments}
    assert deployed == {good: "success", bad: "failure", revert: "success"}

    report = {item["channel"]: item for item in host.status()["report"]}
    assert {name: item["pending"] for name, item in report.items()} == {
        "notes": 0, "statuses": 0, "comments": 0, "deployments": 0,
    }  # fmt: skip
    assert all(item["error"] is None and item["lastDeliveredAt"] for item in report.values())
    before = len(forge.requests)
    host.once()
    assert len(forge.requests) == before, "what was told is not told again"


def test_a_running_rollout_is_reported_and_the_agent_frees_its_memory_afterwards(host: Host, forge: FakeForge) -> None:
    good = host.push({"web": healthy("sleep 3; touch /tmp/healthy")})
    context = f"reconciler/{host.name}"
    with host.started("run") as agent:
        eventually(lambda: forge.states(good, context), 30)
        assert set(forge.states(good, context)) == {"pending"}
        eventually(lambda: forge.states(good, context)[-1] == "success", 30)
        eventually(lambda: "/_ssl." not in Path(f"/proc/{agent.pid}/maps").read_text(), 30)
    assert forge.newest(good, context)["description"].startswith("healthy after")


def test_a_forge_that_refuses_or_is_away_changes_no_rollout(host: Host, forge: FakeForge) -> None:
    forge.scopes.clear()
    good = host.push({"web": stated("1")})
    assert host.once()["outcome"] == "Succeeded"
    report = {item["channel"]: item for item in host.status()["report"]}
    assert "lacks a scope" in report["statuses"]["error"]
    assert report["statuses"]["pending"] == 1
    checks = {item["name"]: item for item in host.run("doctor")["checks"]}
    assert checks["forge"]["ok"] is False
    assert "`repo:status`" in checks["forge"]["message"]
    forge.scopes.update(("statuses", "comments", "deployments"))
    forge.port, port = 1, forge.port
    host.config.write_text(host.config.read_text().replace(f":{port}", ":1"))
    host.push({"web": stated("2")})
    assert host.once()["outcome"] == "Succeeded"
    host.config.write_text(host.config.read_text().replace(':1"', f':{port}"'))
    forge.port = port
    box = host.state / "outbox.json"
    box.write_text(box.read_text().replace('"paused_until":', '"paused_until":0,"was":'))
    host.once()
    assert forge.states(good, f"reconciler/{host.name}")[-1] == "success"
