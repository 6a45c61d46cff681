"""Real processes, git and locks: processes that a turn leaves are ended, and its uncommitted work is committed."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import child
import pytest
from ralph.slots import Slot, claim, known
from ralph.workspace import GitFailed, Workspace

ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}


def run(folder: Path, script: str, ready: str = "") -> tuple[child.Ended, str]:
    """`ready`: the file that the command writes when it may be ended."""
    (folder / "in").write_text("given")
    (folder / "out").write_text("")
    files = (folder / "in", folder / "out", folder / "err")
    until = time.monotonic() + 60

    def over() -> str:
        if ready and (folder / ready).exists() and (folder / ready).read_text():
            return "too long"
        return "not even ready" if time.monotonic() > until else ""

    return child.run(["sh", "-c", script], folder, ENVIRONMENT, files, over), (folder / "out").read_text()


def alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid.strip()}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_a_command_that_ends_by_itself(tmp_path: Path) -> None:
    ended, printed = run(tmp_path, "cat; echo no >&2; exit 3")
    assert (ended, printed) == (child.Ended(3, ""), "given")
    assert (tmp_path / "err").read_text() == "no\n"


def test_a_command_that_hangs_is_ended(tmp_path: Path) -> None:
    ended, printed = run(tmp_path, "echo $$; exec sleep 60", "out")
    assert ended == child.Ended(-15, "too long")
    assert not alive(printed)


def test_a_command_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "POLITE", 0.3)
    ended, printed = run(tmp_path, "trap '' TERM; echo $$; while :; do sleep 0.1; done", "out")
    assert ended == child.Ended(-9, "too long")
    assert not alive(printed)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc, as in the container")
@pytest.mark.parametrize("ended", [True, False])
def test_processes_that_left_the_group_are_ended_too(tmp_path: Path, ended: bool) -> None:
    stays = "sleep 60" if ended else "exit 0"
    script = f"setsid sh -c 'echo $$ >left; exec sleep 60' & while [ ! -s left ]; do sleep 0.02; done; {stays}"
    run(tmp_path, script, "left" if ended else "")
    assert not alive((tmp_path / "left").read_text())


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "workspace", "ralph-1", ENVIRONMENT)
    made.prepare("")
    return made


def test_uncommitted_work_is_committed_once(workspace: Workspace) -> None:
    assert workspace.content() == ""
    (workspace.folder / "a").write_text("1")
    assert workspace.commit("Turn 1")
    assert workspace.git("log", "--format=%an %s") == "ralph-1 Turn 1"
    before = workspace.content()
    assert not workspace.commit("Turn 2")
    workspace.git("commit", "--quiet", "--allow-empty", "--message", "nothing")
    assert workspace.content() == before, "a commit that changes nothing is no progress"


@pytest.mark.parametrize("lock", ["index.lock", "HEAD.lock", "refs/heads/main.lock"])
def test_a_lock_that_a_killed_git_left_is_no_obstacle(workspace: Workspace, lock: str) -> None:
    (workspace.folder / "a").write_text("1")
    workspace.commit("Turn 1")
    (workspace.folder / ".git" / lock).touch()
    with pytest.raises(GitFailed, match=r"\.lock"):
        workspace.git("commit", "--quiet", "--allow-empty", "--only", "--message", "no")
    (workspace.folder / "a").write_text("2")
    assert workspace.commit("Turn 2")


def test_a_hook_of_the_agents_own_cannot_stop_the_loop(workspace: Workspace) -> None:
    hook = workspace.folder / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    (workspace.folder / "a").write_text("1")
    assert workspace.commit("Turn 1")


def test_a_workspace_begins_as_a_clone(workspace: Workspace, tmp_path: Path) -> None:
    (workspace.folder / "PROMPT.md").write_text("Do it.\n")
    workspace.commit("Prompt")
    clone = Workspace(tmp_path / "clone", "ralph-2", ENVIRONMENT)
    clone.prepare(str(workspace.folder))
    assert clone.prompt == "Do it."
    none = Workspace(tmp_path / "none", "ralph-3", ENVIRONMENT)
    for _ in range(2):
        with pytest.raises(GitFailed, match="nothing"):
            none.prepare(str(tmp_path / "nothing"))
    none.prepare(str(workspace.folder))
    assert none.prompt == "Do it."


def test_git_is_bounded_in_time_and_the_heartbeat_continues(tmp_path: Path) -> None:
    beats: list[int] = []
    made = Workspace(tmp_path, "ralph-1", ENVIRONMENT, lambda: beats.append(1))
    with pytest.raises(GitFailed, match="no end within"):
        made.git("-c", "alias.wait=!exec sleep 60", "wait", seconds=0.3)
    assert beats


def test_a_plan_is_done_when_each_box_is_ticked(workspace: Workspace) -> None:
    plan = workspace.folder / "fix_plan.md"
    assert not workspace.plan_is_done
    plan.write_text("# Plan\nno boxes\n")
    assert not workspace.plan_is_done
    plan.write_text("- [x] one\n  - [ ] two\n")
    assert not workspace.plan_is_done
    plan.write_text("- [x] one\n  - [X] two\n")
    assert workspace.plan_is_done


def test_each_container_takes_an_agent_of_its_own_and_gives_it_back(tmp_path: Path) -> None:
    first, lock = claim(tmp_path)
    second, other = claim(tmp_path)
    assert (first.number, second.number) == (1, 2)
    assert first.held()
    lock.close()
    assert not first.held()
    again, lock = claim(tmp_path)
    assert again.number == 1
    for item in (lock, other):
        item.close()
    assert [slot.number for slot in known(tmp_path)] == [1, 2]


def test_a_killed_container_holds_nothing(tmp_path: Path) -> None:
    code = "import sys, time; from pathlib import Path; from ralph.slots import claim; kept = claim(Path(sys.argv[1]));"
    command = ["python3", "-c", f"{code} print(kept[0].number, flush=True); time.sleep(60)", str(tmp_path)]
    environment = {**ENVIRONMENT, "PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    assert Slot(1, tmp_path / "1").held()
    process.kill()
    process.communicate()
    assert not Slot(1, tmp_path / "1").held()
