"""claude-runtime with Claude Code itself: tasks work, clone, are cancelled, interrupted and killed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BASE
from tests.e2e.host import eventually
from tests.stack.agents import Agents, agents
from tests.stack.blackbox import FOLDER

pytestmark = [pytest.mark.stack, pytest.mark.engine, pytest.mark.timeout(1800)]


GIT_SERVER = f"""
FROM {BASE}
RUN apt-get update && apt-get install --yes --no-install-recommends git openssh-server && mkdir -p /run/sshd \\
 && useradd --create-home --shell /usr/bin/git-shell git && usermod --password '*' git \\
 && su -s /bin/sh git -c 'git init -q --bare --initial-branch=main ~/shop.git && mkdir -m 0700 ~/.ssh'
COPY --chown=git authorized_keys /home/git/.ssh/authorized_keys
COPY --chmod=0600 host_key /etc/ssh/host_key
EXPOSE 22
CMD ["/usr/sbin/sshd", "-D", "-e", "-h", "/etc/ssh/host_key"]
"""
"""A git server with one repository and one deploy key."""


def git_server(folder: Path, made: Agents) -> None:
    keys = {name: keypair(folder / name) for name in ("deploy", "host_key")}
    secrets = made.stack.host.secrets / made.stack.host.stack
    known = " ".join(keys["host_key"][1].split()[:2])
    for name, text in {"CLAUDE_DEPLOY_KEY": keys["deploy"][0], "GIT_KNOWN_HOSTS": f"git-server {known}\n"}.items():
        (secrets / name).touch(mode=0o600)
        (secrets / name).write_text(text)
    files = {"Dockerfile": GIT_SERVER, "authorized_keys": keys["deploy"][1], "host_key": keys["host_key"][0]}
    made.files = {f"{FOLDER}/git-server/{name}": text for name, text in files.items()}
    networks = {"agents": {"aliases": ["git-server", "impostor"]}}
    made.beside = {"git-server": {"build": "./git-server", "networks": networks, "init": True, "mem_limit": "128m"}}


def keypair(path: Path) -> tuple[str, str]:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path.read_text(), path.with_suffix(".pub").read_text()


def ordered(*calls: tuple[str, dict[str, Any]]) -> str:
    """A prompt that tells the stub which tools to call."""
    return "stub-calls: " + json.dumps([{"tool": tool, "input": given} for tool, given in calls])


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, compose: Path) -> Iterator[Agents]:
    folder = tmp_path_factory.mktemp("agents")
    services = ("claude-runtime", "mcp-filesystem")
    with agents(folder, compose, *services, prepare=lambda made: git_server(folder, made)) as made:
        yield made


def test_a_task_is_submitted_followed_and_its_result_is_shown(started: Agents) -> None:
    started.stack.host.exec("claude-runtime-1", "git init -q /workspace/one")
    followed = started.stack.host.exec("claude-runtime-1", "echo 'Write a note' | task submit --in one --follow")
    assert "> Write" in followed
    task = started.task("last")
    assert (task["status"], task["turns"], task["attempts"]) == ("succeeded", 3, 1)
    assert "The work of this turn" in started.stack.host.exec("claude-runtime-1", "task result last")
    told = started.stack.host.exec("claude-runtime-1", "git -C /workspace/one log --format=%an:%s")
    assert told == "claude-runtime:Another note"
    events = started.stack.host.exec("claude-runtime-1", "task follow last --output json").splitlines()
    assert json.loads(events[-1])["type"] == "result"
    assert "claude" not in started.processes("claude-runtime").replace("claude-runtime", "")
    left = started.stack.host.exec("claude-runtime-1", "find /tmp /data/home -mindepth 1 -not -name .cache")
    assert set(left.split()) <= {"/tmp/tasks", "/tmp/tasks/heartbeat", "/tmp/tasks/key", "/tmp/tasks/known_hosts"}


def test_a_task_clones_and_pushes_with_the_deploy_key(started: Agents) -> None:
    path = "/workspace/shop/a.md"
    push = "git add . && git commit -qm 'From a task' && git push -q origin HEAD:main"
    prompt = ordered(("Write", {"file_path": path, "content": "a"}), ("Bash", {"command": push, "description": "push"}))
    task = started.ended(started.submit(prompt, "--clone ssh://git@git-server/home/git/shop.git"), "succeeded")
    assert task["folder"] == "shop"
    told = started.stack.host.exec("git-server-1", "git -C /home/git/shop.git log --format=%s main", user="git")
    assert told == "From a task"
    assert started.stack.host.exec("claude-runtime-1", "stat -c %a /tmp/tasks/key") == "600"


def test_git_does_not_talk_to_an_unknown_server(started: Agents) -> None:
    address = "ssh://git@impostor/home/git/shop.git"
    task = started.ended(started.submit("never", "--in other", f"--clone {address}"), "failed")
    assert "Host key verification failed" in task["text"], task


def test_a_task_can_use_an_mcp_server(started: Agents) -> None:
    started.stack.host.exec("claude-runtime-1", "mkdir -p /workspace/two && touch /workspace/two/quinces")
    name = "mcp__filesystem__list_directory"
    calls = [("ToolSearch", {"query": f"select:{name}"}), (name, {"path": "/workspace/two"})]
    id = started.submit(ordered(*calls))
    started.ended(id, "succeeded")
    assert "filesystem connected" in started.stack.host.exec("claude-runtime-1", f"task follow {id}")
    assert "quinces" in started.stack.host.exec("claude-runtime-1", f"task follow {id} --output json")


def test_tasks_wait_for_each_other_and_are_cancelled(started: Agents) -> None:
    first = started.submit("hang", "--model stub-hang")
    second = started.submit("wait")
    third = started.submit("go on")
    eventually(lambda: started.task(first)["status"] == "running", 20)
    assert started.task(second)["status"] == "queued"
    for id in (second, first):
        assert started.stack.host.exec("claude-runtime-1", f"task cancel {id}") == f"{id} cancelled"
    assert started.ended(third, "succeeded")
    assert started.task(second)["attempts"] == 0


def test_a_task_that_hangs_is_ended(started: Agents) -> None:
    id = started.submit("hang", "--model stub-hang", "--minutes 0.05")
    started.ended(id, "timed-out")
    eventually(lambda: started.stub.stats()["under_way"] == 0, 10)


@pytest.mark.parametrize(("behaviour", "why"), [("same-error", "400"), ("malformed", "JSON")])
def test_a_task_that_fails_says_why(started: Agents, behaviour: str, why: str) -> None:
    task = started.ended(started.submit("fail", f"--model stub-{behaviour}"), "failed")
    assert why in task["text"], task


def test_a_task_waits_for_a_rate_limit(started: Agents) -> None:
    started.stub.behave("rate-limit", times=2, retry_after=2)
    id = started.submit("wait a little")
    task = started.ended(id, "succeeded")
    assert task["ended"] - task["started"] > 4
    events = started.stack.host.exec("claude-runtime-1", f"task follow {id}")
    assert events.count("the API answers 429") == 2


def test_a_task_is_started_once_more_after_a_restart_and_then_interrupted(started: Agents) -> None:
    container = f"{started.stack.host.stack}-claude-runtime-1"
    id = started.submit("hang", "--model stub-hang")
    for attempt in (1, 2):
        eventually(lambda n=attempt: started.task(id)["attempts"] == n, 30)
        eventually(lambda: started.stub.stats()["under_way"] == 1, 20)
        if attempt == 1:
            started.stack.host.engine.restart(container, timeout=30)
        else:
            started.stack.host.engine.kill(container)
            started.stack.host.engine.start(container)
    task = started.ended(id, "interrupted")
    assert (task["attempts"], task["text"]) == (2, "interrupted by a restart")
    assert started.ended(started.submit("after it"), "succeeded")


def test_a_task_that_fills_the_memory_does_not_end_the_queue(started: Agents) -> None:
    before = started.stack.host.container("claude-runtime")["State"]["StartedAt"]
    id = started.submit(ordered(("Bash", {"command": "tail /dev/zero", "description": "take all"})))
    eventually(lambda: started.task(id)["status"] not in ("queued", "running"), 120, 0.5)
    assert started.stack.host.container("claude-runtime")["State"]["StartedAt"] == before
    assert started.ended(started.submit("after it"), "succeeded")
