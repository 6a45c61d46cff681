"""The queue with real files and real processes. The tests with Claude Code itself are in tests/stack/test_tasks.py."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from serving import serve
from tasks.__main__ import main
from tasks.settings import Settings
from tasks.store import LARGEST, Refused, Store, new_id
from tasks.task import CANCELLED, FAILED, INTERRUPTED, QUEUED, RUNNING, SUCCEEDED, TIMED_OUT, Task
from tasks.worker import Worker

NOW = 1_795_262_400.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "data/tasks")


def submit(store: Store, prompt: str = "Do it", **fields: Any) -> Task:
    before = len(store.all())
    # Ids of the same second do not sort by time.
    made = Task(f"{999 - before}-{new_id(NOW)}", NOW + before / 1000)
    return store.submit(prompt, replace(made, **fields))


def settings(tmp_path: Path, **fields: Any) -> Settings:
    (tmp_path / "workspace").mkdir(exist_ok=True)
    usual = Settings(
        key="a key", data=tmp_path / "data", workspace=tmp_path / "workspace", own=tmp_path / "own",
        servers=tmp_path / "mcp.json", claude="/bin/false",
    )  # fmt: skip
    return replace(usual, **fields)


def worker(tmp_path: Path, store: Store, **fields: Any) -> Worker:
    return Worker(settings(tmp_path, **fields), store, threading.Event())


def program(tmp_path: Path, script: str) -> str:
    """A script instead of Claude Code, for events that can happen to any process."""
    path = tmp_path / "program"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def drain(worker: Worker, seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        worker.step()
        if not any(task.status in (QUEUED, RUNNING) for task in worker.store.all()):
            for thread in worker.running.values():  # a task that has just stored its end still reports it
                thread.join(20)
            return
        time.sleep(0.02)
    raise AssertionError([task.status for task in worker.store.all()])


def wait(what: Callable[[], object], seconds: float = 40) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_submitted_tasks_are_listed_in_order(store: Store) -> None:
    tasks = [submit(store, f"task {n}") for n in range(3)]
    assert store.all() == tasks
    assert store.find("last") == tasks[-1]
    assert store.path(tasks[1], "prompt").read_text() == "task 1"
    assert sorted(path.name for path in store.path(tasks[0], ".").iterdir()) == ["prompt", "task.json"]


@pytest.mark.parametrize("prompt", ["", " \n", "x" * (LARGEST + 1)])
def test_an_empty_and_a_too_long_prompt_are_refused(store: Store, prompt: str) -> None:
    with pytest.raises(Refused):
        submit(store, prompt)
    assert list(store.folder.iterdir()) == []


def test_the_queue_has_a_largest_length(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.store.MANY", 3)
    for _ in range(3):
        submit(store)
    with pytest.raises(Refused, match="wait already"):
        submit(store)


def test_a_file_that_cannot_be_read_hides_no_other_task(store: Store) -> None:
    first, second = submit(store), submit(store)
    store.path(first, "task.json").write_text('{"id"')
    assert store.all() == [second]


def test_a_half_written_submission_is_ignored_and_removed(store: Store) -> None:
    half = store.folder / ".half"
    half.mkdir()
    (half / "task.json").write_text("{}")
    assert store.all() == []
    store.prune(0)
    assert half.exists()
    os.utime(half, (1, 1))
    store.prune(0)
    assert not half.exists()


def test_only_what_ended_long_ago_is_removed(store: Store) -> None:
    old, new, waits = submit(store), submit(store), submit(store)
    store.save(replace(old, status=SUCCEEDED, ended=NOW))
    store.save(replace(new, status=SUCCEEDED, ended=NOW + 10))
    store.prune(NOW + 5)
    assert [task.id for task in store.all()] == [new.id, waits.id]


def test_after_a_restart_a_task_is_queued_once_more_and_then_interrupted(store: Store, tmp_path: Path) -> None:
    running = submit(store).begun(NOW)
    once = replace(submit(store, once=True).begun(NOW), id=store.all()[1].id)
    twice = replace(submit(store).begun(NOW).begun(NOW), id=store.all()[2].id)
    for task in (running, once, twice):
        store.save(task)
    worker(tmp_path, store, key="").step()
    assert [task.status for task in store.all()] == [QUEUED, INTERRUPTED, INTERRUPTED]
    assert all("interrupted by a restart" in task.text for task in store.all())


def test_a_program_that_fails_is_a_task_that_failed(store: Store, tmp_path: Path) -> None:
    submit(store)
    drain(worker(tmp_path, store, claude=program(tmp_path, "echo 'cannot start' >&2; exit 7")))
    task = store.all()[0]
    assert (task.status, task.text, task.spent) == (FAILED, "exit 7: cannot start", None)


def test_a_missing_program_is_reported(store: Store, tmp_path: Path) -> None:
    submit(store)
    drain(worker(tmp_path, store, claude="/does/not/exist"))
    assert (store.all()[0].status, "/does/not/exist" in store.all()[0].text) == (FAILED, True)


def test_a_killed_task_is_started_once_more_and_then_interrupted(store: Store, tmp_path: Path) -> None:
    submit(store)
    drain(worker(tmp_path, store, claude=program(tmp_path, "kill -9 $$")))
    task = store.all()[0]
    assert (task.status, task.attempts) == (INTERRUPTED, 2)
    assert "memory" in task.text


def test_a_task_is_ended_after_its_time(store: Store, tmp_path: Path) -> None:
    submit(store, minutes=0.005)
    drain(worker(tmp_path, store, claude=program(tmp_path, "exec sleep 60")))
    assert store.all()[0].status == TIMED_OUT


def test_running_and_waiting_tasks_can_be_cancelled(store: Store, tmp_path: Path) -> None:
    first, second = submit(store), submit(store)
    made = worker(tmp_path, store, claude=program(tmp_path, "exec sleep 60"))
    made.step()
    assert [task.id for task in store.all() if task.status == QUEUED] in ([second.id], [first.id, second.id])
    store.cancel(second)
    made.step()
    assert store.find(second.id).status == CANCELLED
    store.cancel(first)
    drain(made)
    assert store.find(first.id).status == CANCELLED
    assert store.find(second.id).attempts == 0


def test_no_more_tasks_run_at_once_than_allowed(store: Store, tmp_path: Path) -> None:
    # Each waits for a second one; the last one may wait in vain.
    both = "n=0; until [ $(ls ../running | wc -l) -ge 2 ] || [ $((n += 1)) -gt 20 ]; do sleep 0.1; done"
    script = f"mkdir -p ../running/$$; {both}; sleep 0.3; ls ../running | wc -l >>../seen; rmdir ../running/$$"
    for n in range(4):
        submit(store, folder=f"f{n}")
    drain(worker(tmp_path, store, claude=program(tmp_path, script), at_once=2))
    seen = [int(line) for line in (tmp_path / "workspace/seen").read_text().split()]
    assert len(seen) == 4
    assert max(seen) == 2


def test_a_worker_that_ends_leaves_its_task_to_the_next(store: Store, tmp_path: Path) -> None:
    submit(store)
    made = worker(tmp_path, store, claude=program(tmp_path, "exec sleep 60"))
    thread = threading.Thread(target=made.run)
    thread.start()
    until = time.monotonic() + 40
    while store.all()[0].status != RUNNING and time.monotonic() < until:
        time.sleep(0.02)
    made.stopping.set()
    thread.join(15)
    assert store.all()[0].status == INTERRUPTED
    worker(tmp_path, store, key="").step()
    assert store.all()[0].status == QUEUED


def test_a_disk_that_is_full_loses_no_task(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.worker.TROUBLE", 0.05)
    task = submit(store)
    # A folder in place of the file: writing fails as on a full disk, only for another reason.
    store.path(task, "task.new").mkdir()
    made = worker(tmp_path, store, claude=program(tmp_path, "exit 3"))
    thread = threading.Thread(target=made.run)
    thread.start()
    time.sleep(0.5)
    assert store.find(task.id).status == QUEUED
    store.path(task, "task.new").rmdir()
    until = time.monotonic() + 20
    while store.find(task.id).status != FAILED and time.monotonic() < until:
        time.sleep(0.02)
    made.stopping.set()
    thread.join(15)
    assert store.find(task.id).text.startswith("exit 3")


def test_without_a_key_tasks_wait(store: Store, tmp_path: Path) -> None:
    submit(store)
    made = worker(tmp_path, store, key="")
    made.step()
    assert (store.all()[0].status, made.running) == (QUEUED, {})


def test_no_task_works_outside_of_the_workspace(store: Store, tmp_path: Path) -> None:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace/away").symlink_to(tmp_path)
    for folder in ("../data", "/etc", "away"):
        submit(store, folder=folder)
    drain(worker(tmp_path, store))
    assert {(task.status, "outside" in task.text) for task in store.all()} == {(FAILED, True)}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "shop.git"
    who = ["-c", "user.name=a", "-c", "user.email=a@localhost"]
    subprocess.run(["git", "init", "--quiet", path], check=True)
    subprocess.run(["git", *who, "commit", "--quiet", "--allow-empty", "-m", "One"], cwd=path, check=True)
    return path


def slow_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A git that makes half of a clone and then hangs, as with a broken network."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "git").write_text('#!/bin/sh\nfor last; do :; done\nmkdir "$last"; touch "$last/half"; exec sleep 60\n')
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def half_cloned(made: Worker) -> bool:
    return any(made.settings.workspace.rglob("half"))


@pytest.mark.parametrize(("way", "status"), [("cancel", CANCELLED), ("stop", INTERRUPTED), ("time", TIMED_OUT)])
def test_a_clone_that_is_ended_is_not_taken_for_whole(
    store: Store, tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, way: str, status: str
) -> None:
    task = submit(store, folder="shop", clone=str(repository))
    made = worker(tmp_path, store)
    with monkeypatch.context() as patch:
        slow_git(tmp_path, patch)
        made.step()
        wait(lambda: half_cloned(made))
        if way == "cancel":
            store.cancel(task)
        elif way == "stop":
            made.stopping.set()
        else:
            made.clock = lambda: time.time() + 60 * task.minutes
        wait(lambda: store.find(task.id).status == status)
    assert not half_cloned(made)
    assert not (made.settings.workspace / "shop").exists()
    again = submit(store, folder="shop", clone=str(repository))
    drain(worker(tmp_path, store, claude=program(tmp_path, "git log --format=%s >seen")))
    assert (made.settings.workspace / "shop/seen").read_text() == "One\n"
    assert store.find(again.id).attempts == 1


def test_half_a_clone_of_a_worker_that_was_killed_is_removed(store: Store, tmp_path: Path, repository: Path) -> None:
    task = submit(store, folder="a/shop", clone=str(repository)).begun(NOW)
    store.save(task)
    made = worker(tmp_path, store, claude=program(tmp_path, "git log --format=%s >seen"))
    half = made.cloning(task)
    half.mkdir(parents=True)
    (half / "half").touch()
    drain(made)
    assert (made.settings.workspace / "a/shop/seen").read_text() == "One\n"
    assert not half.exists()


def test_a_clone_that_fails_or_would_be_the_whole_workspace_is_reported(store: Store, tmp_path: Path) -> None:
    submit(store, folder="x", clone=str(tmp_path / "nothing"))
    submit(store, folder=".", clone="any")
    drain(worker(tmp_path, store))
    first, second = store.all()
    assert (first.status, "git clone: fatal" in first.text) == (FAILED, True)
    assert (second.status, "folder of its own" in second.text) == (FAILED, True)
    assert not (tmp_path / "workspace/x").exists()


def test_the_key_is_not_written_while_tasks_may_read_it(store: Store, tmp_path: Path) -> None:
    made = worker(tmp_path, store, deploy_key="abc", known_hosts="x")
    before = (tmp_path / "own/key").stat().st_mtime_ns
    task = submit(store)
    time.sleep(0.02)
    assert "GIT_SSH_COMMAND" in made.environment(task)
    assert (tmp_path / "own/key").stat().st_mtime_ns == before


def test_the_key_for_git_is_shown_to_known_servers_alone(store: Store, tmp_path: Path) -> None:
    made = worker(tmp_path, store, deploy_key="-----BEGIN KEY-----\nabc", known_hosts="git.example.org ssh-ed25519 A")
    command = made.environment(submit(store))["GIT_SSH_COMMAND"]
    assert "StrictHostKeyChecking=yes" in command
    key = tmp_path / "own/key"
    assert key.read_text().endswith("abc\n")
    assert key.stat().st_mode & 0o777 == 0o600
    assert "GIT_SSH_COMMAND" not in worker(tmp_path, store).environment(submit(store))


def test_metrics_count_attempts_and_waiting_tasks(tmp_path: Path, store: Store) -> None:
    made = worker(tmp_path, store, claude=program(tmp_path, 'echo \'{"type": "result", "total_cost_usd": 0.25}\''))
    server = serve(0, lambda: made.totals.render(store.all(), made.ready, NOW + 90))

    def told() -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=20) as answer:
            lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    submit(store)
    before = told()
    assert before['claude_tasks{status="queued"}'] == 1
    assert before["claude_oldest_queued_seconds"] == 90
    assert before['claude_attempts_total{status="succeeded"}'] == 0, "so that the first one is an increase"
    drain(made)
    wait(lambda: told()['claude_attempts_total{status="succeeded"}'] == 1)
    after = told()
    assert after["claude_cost_usd_total"] == 0.25
    assert (after['claude_tasks{status="succeeded"}'], after["claude_oldest_queued_seconds"]) == (1, 0)
    server.shutdown()
    server.server_close()


def test_the_command_line_prints_tasks_and_ends_with_their_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = settings(tmp_path)
    monkeypatch.setattr(Settings, "from_environment", lambda: made)
    assert main(["submit", "Say", "hello", "--in", "a"]) == 0
    id = capsys.readouterr().out.strip()
    assert main(["result", id]) == 4
    assert main(["result", "nothing"]) == 2
    assert main(["submit", "--in", "../x", "no"]) == 2
    assert "outside" in capsys.readouterr().err
    drain(Worker(made, Store(made.tasks), threading.Event()))
    assert main(["follow", "last"]) == 1
    assert main(["cancel", id]) == 2
    capsys.readouterr()
    assert main(["list", "--output", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)["tasks"]
    assert [(item["id"], item["status"], item["folder"]) for item in listed] == [(id, FAILED, "a")]
    assert main(["list"]) == 0
    assert "Say hello" in capsys.readouterr().out
