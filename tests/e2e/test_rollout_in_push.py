"""`git push` shows the rollout of the commit until the verdict, and changes nothing."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.e2e.host import Host, eventually
from tests.e2e.pusher import Pusher
from tests.e2e.services import health, healthy, living, one_shot, stated
from tests.hooks.tool import git

pytestmark = pytest.mark.engine

SLOW = healthy("sleep 8; touch /tmp/healthy")
PATIENT = {"gate": {"healthy_deadline": "5m", "progress_deadline": "5m"}}
"""A busy machine may need longer for SLOW, and for a second push, than the usual gate allows."""


def test_a_push_must_show_plan_steps_and_verdict(host: Host) -> None:
    pusher = Pusher.of(host)
    with host.started("run"):
        eventually(lambda: list(host.repository.folder.glob("reconciler/*.json")))
        first = pusher.commit({"db": healthy(), "app": stated("1", depends_on=["db"])})
        push = pusher.push()
        assert push.end() == 0
        told = push.rollout
        assert re.search(rf"{first[:7]}: \d+ steps, memory at most ", told[1])
        assert f"  create   {host.stack}/app: " in "\n".join(told)
        assert any(re.search(rf"wait until healthy +{host.stack}/db$", line) for line in told)
        assert re.fullmatch(rf"{host.name}: {first[:7]} Succeeded in .+", told[-1])
        assert host.states() == {"app-1": "running", "db-1": "running"}
        second = pusher.commit({"db": healthy(), "app": stated("2", depends_on=["db"])})
        push = pusher.push()
        push.end()
        told = push.rollout
        assert any(line.startswith(f"  replace  {host.stack}/app: ") for line in told)
        assert not any(f"{host.stack}/db" in line for line in told)
        assert f"Switched {host.stack}/app, down for " in "\n".join(told)
        assert told[-1].startswith(f"{host.name}: {second[:7]} Succeeded")
    assert all(len(line.rstrip()) <= 80 and "\x1b" not in line for line in push.said if line.startswith("remote: "))


def test_a_failure_must_show_log_and_remedy_and_the_verdict_last(host: Host) -> None:
    (host.secrets / f"{host.stack}.env").write_text("PASSWORD=hunter2hunter2\n")
    (host.secrets / f"{host.stack}.env").chmod(0o600)
    pusher = Pusher.of(host)
    with host.started("run"):
        good = pusher.commit({"app": stated("1")})
        assert pusher.push().end() == 0
        broken = one_shot(
            "printf 'it \\033[31mbreaks with %s\\n' $PASSWORD; exit 7",
            healthcheck=health(),
            environment={"PASSWORD": "${PASSWORD}"},
        )
        bad = pusher.commit({"app": broken})
        push = pusher.push()
        assert push.end() == 0  # git has only this exit code, so the text must say it
        text = "\n".join(push.rollout)
        assert f"last lines of {host.stack}/app:" in text
        assert re.search(r"\| it .*breaks with ", text)
        assert "hunter2" not in text
        assert "\x1b" not in text
        assert f"git revert --no-edit {bad[:7]}" in push.rollout[-2]
        assert f"{good[:7]} runs again" in push.rollout
        assert re.fullmatch(rf"{host.name}: FAILED: {bad[:7]} RolledBack \(Crashed\) in .+", push.rollout[-1])
        eventually(lambda: host.states() == {"app-1": "running"})
        git(pusher.clone, "revert", "--no-edit", bad[:7])
        push = pusher.push()
        push.end()
        assert push.rollout[-1].endswith("Succeeded")
        assert host.status()["lastGoodRevision"] == git(pusher.clone, "rev-parse", "HEAD") != good


def test_a_push_with_no_wait_must_not_wait(host: Host) -> None:
    pusher = Pusher.of(host)
    with host.started("run"):
        sha = pusher.commit({"app": SLOW}, stack=PATIENT)
        push = pusher.push("-o", "reconciler.no-wait")
        assert push.end() == 0
        assert f"not waited for {sha[:7]}" in "\n".join(push.lines)
        assert not push.rollout
        assert not host.history(sha) or host.history(sha)[0]["outcome"] == "Started"
        eventually(lambda: [item for item in host.history(sha) if item["final"]], seconds=30)


def test_without_an_agent_the_push_must_say_so_and_succeed(host: Host) -> None:
    pusher = Pusher.of(host)
    pusher.commit({"app": stated("1")})
    push = pusher.push()
    assert push.end() == 0
    assert "no agent writes its status" in "\n".join(push.lines)
    host.once()
    pusher.commit({"app": stated("2")})
    push = pusher.push()
    push.end()
    assert f"no agent runs for {host.name}" in " ".join(push.lines)


def test_a_push_must_report_an_agent_that_dies_and_the_next_turn_must_continue(host: Host) -> None:
    pusher = Pusher.of(host)
    with host.started("run") as agent:
        sha = pusher.commit({"app": SLOW}, stack=PATIENT)
        push = pusher.push()
        push.says("check that all services stay")
        agent.kill()
        assert push.end(30) == 0
        assert f"the agent (process {agent.pid}) has ended" in " ".join(push.lines)
    assert host.once().code == 0
    assert host.status()["lastGoodRevision"] == sha


def test_an_interrupted_push_must_not_change_the_rollout(host: Host) -> None:
    pusher = Pusher.of(host)
    with host.started("run"):
        sha = pusher.commit({"app": SLOW}, stack=PATIENT)
        push = pusher.push()
        push.says("check that all services stay")
        push.interrupt()
        assert push.end(30) != 0
        eventually(lambda: not _hooks_of(str(host.repository.folder)))
        eventually(lambda: host.history(sha)[0]["outcome"] == "Succeeded", seconds=30)


def test_a_newer_push_must_end_the_view_of_the_older_one(host: Host) -> None:
    pusher = Pusher.of(host)
    with host.started("run"):
        first = pusher.commit({"app": living("sleep 1", healthcheck=SLOW["healthcheck"])}, stack=PATIENT)
        one = pusher.push()
        one.says("check that all services stay")
        second = pusher.commit({"app": stated("2")})
        two = pusher.push()
        assert (one.end(), two.end()) == (0, 0)
        assert re.search(rf"{first[:7]} (Superseded|is superseded)", [line for line in one.lines if line][-1])
        assert two.rollout[-1].startswith(f"{host.name}: {second[:7]} Succeeded")


def _hooks_of(repository: str) -> list[str]:
    """Processes of post-receive in this repository."""
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in listed if "post-receive" in line and repository in line]
