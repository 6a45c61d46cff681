"""The hook that shows a rollout does not trust the file that it reads."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from reconciler.observe.pushed import PushedRepository, Update
from reconciler.record.text.push import STYLE
from reconciler.verbs import follow
from tests.hooks.tool import command, git
from tests.repository import ENVIRONMENT

SHA = "a" * 40
UPDATE = Update("refs/heads/main", "0" * 40, SHA)


def row(**changes: Any) -> dict[str, Any]:
    made = {"revision": SHA, "outcome": "RolledBack", "reason": "HealthCheckFailed", "message": "m", "hint": None}
    more: dict[str, Any] = {
        "applied": True,
        "again": None,
        "revertedTo": None,
        "seconds": 1.0,
        "lines": [],
        "services": [],
    }
    return {**made, **more, "failure": None, "at": time.time() + 60, **changes}


def shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch, update: Update = UPDATE, init: tuple[str, ...] = ("--bare",),
    **changes: Any,
) -> list[str]:  # fmt: skip
    subprocess.run(["git", "init", "-q", *init, str(folder)], check=True, env=ENVIRONMENT)
    (folder / "reconciler").mkdir()
    agent = {"kind": "Push", "host": "mini", "branch": "main", "pid": os.getpid(), "born": None}
    told = {**agent, "plan": None, "rollout": None, "error": None, "silence": None, "turns": [], **changes}
    (folder / "reconciler/mini.json").write_text(json.dumps(told))
    monkeypatch.setattr(follow, "LONGEST", 0.5)
    monkeypatch.setattr(follow, "_nobody_reads", lambda: False)
    lines: list[str] = []
    repository = PushedRepository({**ENVIRONMENT, "GIT_DIR": str(folder)})
    follow.follow(repository, [update], [], "main", lines.append)
    return lines


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), "soon", [1]])
def test_an_impossible_number_in_the_file_must_end_the_view(
    seconds: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = shown(tmp_path / "r.git", monkeypatch, turns=[row(seconds=seconds)])
    assert "another version than this hook" in lines[-2]
    assert max(map(len, lines)) <= STYLE.width


def test_an_enormous_amount_in_the_file_must_end_the_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = {"attempt": "1", "revision": SHA, "intent": "Advance", "steps": 1, "services": []}
    lines = shown(tmp_path / "r.git", monkeypatch, plan={**plan, "peakBytes": 10**4000, "boundBytes": 10**4000})
    assert "another version than this hook" in lines[-2]


def test_lines_of_a_failed_services_log_must_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = ["first " + "word " * 30, "x" * 300_000, "漢字" * 40, "  last"]
    failure = {"stack": "shop", "service": "web", "exitCode": 1, "healthOutput": None, "log": log}
    lines = shown(tmp_path / "r.git", monkeypatch, turns=[row(failure=failure)], host="a-host-with-a-long-name")
    assert max(map(len, lines)) <= STYLE.width
    assert max(line.count("漢") + line.count("字") for line in lines) == (STYLE.width - 4) // 2
    assert len(lines) < 25
    assert "  |   last" in lines
    assert lines[-1].endswith(f"name: FAILED: {SHA[:7]} RolledBack (HealthCheckFailed) in 1s")


def test_a_long_name_of_a_service_must_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = {"stack": "shop", "service": "long" * 20, "action": "Switched", "downtime": 1.0}
    lines = shown(tmp_path / "r.git", monkeypatch, turns=[row(outcome="Succeeded", services=[done])])
    assert max(map(len, lines)) <= STYLE.width
    assert lines[-1] == f"mini: {SHA[:7]} Succeeded in 1s"


HISTORIES = {
    "one commit": "c base; old; c bad",
    "several commits": "c base; old; c one; c two",
    "a branch was merged": "c base; side; c one; c two; main; old; merge",
    "somebody else's commits were merged (git pull)": "c base; side; c other; old; main; c bad; merge",
    "a merge and more": "c base; old; c one; side; c two; main; c three; merge; c four",
    "an earlier push was bad, too": "c base; good; c bad; old; c one; c two",
}


@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES)
def test_the_command_that_reverts_must_do_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, history: str) -> None:
    clone, shas = tmp_path / "clone", dict.fromkeys(("old", "good"), "")
    git(tmp_path, "init", "-q", "-b", "main", "clone")
    for word, _, name in (item.partition(" ") for item in history.split("; ")):
        if word == "c":
            (clone / name).write_text(name)
            git(clone, "add", "-A")
            git(clone, "commit", "-q", "-m", name)
        elif word in shas:
            shas[word] = git(clone, "rev-parse", "HEAD")
        elif word == "merge":
            git(clone, "merge", "-q", "--no-ff", "--no-edit", "side")
        else:
            git(clone, "checkout", "-q", *(["-b"] if word == "side" else []), word)
    new = git(clone, "rev-parse", "HEAD")
    lines = shown(
        clone / ".git", monkeypatch, Update("refs/heads/main", shas["old"], new), (),
        turns=[row(revision=new, revertedTo=shas["good"] or None)], pid=os.getpid(),
    )  # fmt: skip
    assert max(map(len, lines)) <= STYLE.width
    (told,) = [line.rpartition(": ")[2].strip() for line in lines if " git re" in line]
    assert command(clone, "sh", "-c", told).code == 0
    assert git(clone, "rev-parse", "HEAD^{tree}") == git(clone, "rev-parse", f"{shas['good'] or shas['old']}^{{tree}}")
    assert git(clone, "merge-base", "HEAD", new) == new
