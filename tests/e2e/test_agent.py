"""The running agent sees a push at once, reports its work, and ends cleanly on a signal."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler import renewal
from tests.e2e.host import Host, eventually
from tests.e2e.services import healthy, living, stated

pytestmark = pytest.mark.engine

SERVICES = {"web": stated("1"), "db": stated("1")}


def file_status(host: Host) -> dict[str, Any]:
    path = host.state / "status.json"
    status: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return status


def applied(host: Host, sha: str) -> bool:
    status = file_status(host)
    return status.get("lastGoodRevision") == sha and status["rollout"] is None


def end(agent: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, float]:
    """Send the signal. Returns the exit code, and the seconds until the end."""
    asked = time.monotonic()
    agent.send_signal(number)
    return agent.wait(15), time.monotonic() - asked


def at_rest(agent: subprocess.Popen[str]) -> bool:
    """Whether the agent has restarted itself after its work."""
    return renewal.VARIABLE.encode() in Path(f"/proc/{agent.pid}/environ").read_bytes()


def resident(agent: subprocess.Popen[str]) -> float:
    """Resident memory in MiB."""
    lines = Path(f"/proc/{agent.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


def push_as_a_user(host: Host, name: str, text: str) -> str:
    """Clone, commit and `git push`, as a user does. Returns the sha."""
    clone = host.folder / "clone"
    git = ["git", "-C", str(clone), "-c", "user.name=A Person", "-c", "user.email=person@example.org"]
    if not clone.exists():
        subprocess.run(["git", "clone", "-q", str(host.repository.folder), str(clone)], check=True)
    (clone / name).write_text(text)
    for arguments in (["add", "-A"], ["commit", "-q", "-m", "a change"], ["push", "-q", "origin", "HEAD:main"]):
        subprocess.run([*git, *arguments], check=True)
    return host.repository.head()


def test_a_push_must_be_applied_at_once_and_shown_in_the_status(host: Host) -> None:
    host.configure(source={"interval": "10m"})
    first = host.push(SERVICES)
    with host.started("run") as agent:
        eventually(lambda: applied(host, first), 30)
        status = file_status(host)
        assert (status["kind"], status["sync"], status["health"]) == ("Status", "Synced", "Healthy")
        assert status["agent"]["pid"] == agent.pid
        web = {**stated("2"), "depends_on": ["db"]}
        files = host.files({**SERVICES, "web": web})
        text = str(files["compose/stack/compose.yaml"])
        second = push_as_a_user(host, "compose/stack/compose.yaml", text)
        eventually(lambda: second in (host.state / "journal.jsonl").read_text(), 2.5)
        eventually(lambda: applied(host, second), 30)
        assert host.exec("web-1", "echo $VERSION") == "2"
        assert host.status().code == 0
        code, seconds = end(agent)
        assert code == 143
        assert seconds < 10
    assert host.states() == {"db-1": "running", "web-1": "running"}
    assert not host.status()["agent"]["running"]


def test_the_status_must_show_a_rollout_while_it_runs(host: Host) -> None:
    slow = {"slow": healthy("sleep 10; touch /tmp/healthy")}
    sha = host.push({**SERVICES, **slow}, stack={"gate": {"healthy_deadline": "1m", "progress_deadline": "1m"}})
    with host.started("run"):
        rollout = eventually(lambda: file_status(host).get("rollout"), 30)
        assert rollout["revision"] == sha
        assert rollout["intent"] == "Advance"
        eventually(lambda: (file_status(host)["rollout"] or {}).get("action") == "WaitHealthy", 30)
        status = host.status()
        assert (status.code, status["health"]) == (1, "Progressing")
        assert status["rollout"]["attempt"] == rollout["attempt"]
        eventually(lambda: applied(host, sha), 30)
    assert host.status().code == 0


def test_sighup_must_make_the_agent_fetch_at_once(host: Host) -> None:
    host.configure(source={"interval": "10m"})
    first = host.push(SERVICES)
    with host.started("run") as agent:
        eventually(lambda: applied(host, first), 30)
        eventually(lambda: at_rest(agent), 30)
        time.sleep(1.0)
        for _ in range(2):
            before = file_status(host)
            agent.send_signal(signal.SIGHUP)
            eventually(lambda seen=before: file_status(host)["source"] != seen["source"], 10)
            assert file_status(host) | {"source": before["source"]} == before


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_memory_of_a_rollout_must_be_freed_without_releasing_the_state_folder(host: Host) -> None:
    first = host.push(SERVICES)
    with host.started("run") as agent:
        eventually(lambda: applied(host, first), 30)
        begun = file_status(host)["agent"]["startedAt"]
        while not at_rest(agent):
            assert host.once().code == 75
        second = host.push({**SERVICES, "web": stated("2")})
        eventually(lambda: applied(host, second), 30)
        assert file_status(host)["agent"]["startedAt"] == begun
        assert file_status(host)["agent"]["pid"] == agent.pid
        eventually(lambda: resident(agent) < 36, 30)
        time.sleep(1.0)
        assert resident(agent) < 36, "MiB, a second later"
        assert host.once().code == 75
        code, _ = end(agent)
        assert code == 143
    assert host.once()["effects"] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_a_rollout_must_end_it_in_time_and_stop_nothing(host: Host, number: int) -> None:
    host.push(SERVICES)
    assert host.once().code == 0
    sha = host.push({**SERVICES, "web": healthy("sleep 6; touch /tmp/healthy", stop_grace_period="1s")})
    with host.started("once") as turn:
        eventually(lambda: host.states().get("web-1.standby") == "exited", 30)
        eventually(lambda: host.states().get("web-1") == "running", 30)
        code, seconds = end(turn, number)
    assert code == 128 + number
    assert seconds < 10
    assert host.states()["web-1"] == host.states()["db-1"] == "running"
    assert host.history("--limit", "1")[0]["outcome"] == "Interrupted"
    assert host.note(sha) is None
    turned = host.once()
    assert (turned.code, turned["outcome"], turned["revision"]) == (0, "Succeeded", sha)
    assert host.states() == {"db-1": "running", "web-1": "running"}
    assert host.once()["effects"] == 0


def test_a_newer_commit_must_take_over_from_one_that_is_not_proven_yet(host: Host) -> None:
    """The agent notices a push also in the middle of a rollout."""
    host.configure(source={"interval": "10m"})
    first = host.push(SERVICES)
    with host.started("run"):
        eventually(lambda: applied(host, first), 30)
        patient = {"healthy_deadline": "5m", "progress_deadline": "5m"}
        hanging = host.push({**SERVICES, "web": healthy("sleep 1000 & wait $!")}, stack={"gate": patient})
        eventually(lambda: host.states().get("web-1.standby") == "exited", 30)
        newest = host.push({**SERVICES, "web": living("", environment={"VERSION": "3"})})
        eventually(lambda: applied(host, newest), 40)
        note = eventually(lambda: host.note(hanging), 10)
        assert note.trailers["State"] == "superseded"
    assert host.states() == {"db-1": "running", "web-1": "running"}
    assert host.exec("web-1", "echo $VERSION") == "3"


def test_of_several_new_commits_only_the_newest_must_be_applied(host: Host) -> None:
    host.push(SERVICES)
    assert host.once().code == 0
    skipped = host.push({**SERVICES, "web": stated("2")})
    newest = host.push({**SERVICES, "web": stated("3")})
    assert host.once()["revision"] == newest
    assert host.note(skipped) is None
    note = host.note(newest)
    assert note is not None
    assert note.trailers["State"] == "success"


def breaks(path: Path, how: str) -> Callable[[], None]:
    """Break a secrets file; returns a function that corrects it."""
    text = path.read_text()

    def right() -> None:
        path.write_text(text)
        path.chmod(0o600)

    match how:
        case "readable by others":
            path.chmod(0o644)
        case "writable by the group":
            path.chmod(0o620)
        case "unclosed":
            path.write_text('TOKEN="never-closed\n')
        case "not to be read":
            path.unlink()
            path.symlink_to("nowhere")
        case "too large":
            path.write_text(f"TOKEN={'x' * (2 << 20)}\n")

    def replaced() -> None:
        path.unlink()
        right()

    return replaced if how == "not to be read" else right


@pytest.mark.parametrize(
    "how", ["readable by others", "writable by the group", "unclosed", "not to be read", "too large"]
)
def test_secrets_that_become_unusable_must_hold_commits_and_nothing_else(host: Host, how: str) -> None:
    file = host.secrets / f"{host.stack}.env"
    file.write_text("TOKEN=canary-secret\n")
    file.chmod(0o600)
    web = {"web": stated("${TOKEN}")}
    first = host.push(web)
    with host.started("run") as agent:
        eventually(lambda: applied(host, first) and at_rest(agent), 30)
        seen = file_status(host)["source"]["lastFetchAt"]
        eventually(lambda: file_status(host)["source"]["lastFetchAt"] > seen)  # the agent has read the secrets
        right = breaks(file, how)
        told = eventually(lambda: (now := host.status())["reason"] == "SecretsUnusable" and now, 15)
        assert (told["sync"], told["health"], told.code) == ("Synced", "Degraded", 1)
        assert str(file) in told["message"]
        host.engine.remove_container(host.container("web")["Id"], force=True)
        eventually(lambda: host.states() == {"web-1": "running"}, 15)
        assert host.exec("web-1", "echo $VERSION") == "canary-secret"
        second = host.push({**web, "db": stated("1")})
        held = eventually(lambda: [item for item in host.history(second) if item["outcome"] == "Held"], 15)
        assert [(item["id"], item["reason"]) for item in held] == [(None, "SecretsUnusable")]
        told = host.status()
        assert (told["source"]["head"], told["sync"], told["reason"]) == (second, "OutOfSync", "SecretsUnusable")
        assert "SecretsUnusable" in host.text("status")
        time.sleep(3.0)
        assert host.states() == {"web-1": "running"}
        assert agent.poll() is None
        right()
        eventually(lambda: applied(host, second), 30)
        assert host.states() == {"web-1": "running", "db-1": "running"}
        assert host.status().code == 0
        assert [item["outcome"] for item in host.history(second)] == ["Succeeded", "Held"]
    assert not any("canary-secret" in output for output in host.outputs)
