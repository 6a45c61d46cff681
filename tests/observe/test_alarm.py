"""The alarm on a real repository: what ends a wait, and what shows that the branch has moved."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from reconciler.observe.alarm import AgentAlarm
from tests.e2e.host import eventually
from tests.repository import ENVIRONMENT, Repository

LONG = 30.0


def test_only_the_watched_branch_tells_that_it_has_moved(tmp_path: Path) -> None:
    theirs = Repository(tmp_path / "theirs.git")
    first = theirs.push({"a": "1"})
    requests = tmp_path / "requests"
    requests.mkdir()
    moved = threading.Event()
    with AgentAlarm(threading.Event(), str(theirs.folder), [], requests, "main", moved.set) as alarm:
        theirs.git("update-ref", "refs/heads/other", first)
        theirs.git("update-ref", "refs/notes/reconciler/host", first)
        (requests / "1.json").write_text("{}")
        alarm.wait(LONG)
        assert not moved.is_set()
        theirs.push({"a": "2"})
        assert moved.wait(LONG)
        assert alarm.pushed()


def test_a_push_is_expected_when_it_begins_to_arrive(tmp_path: Path) -> None:
    """That is before its commit is in the branch: a hook that refuses it has not ended yet."""
    theirs = Repository(tmp_path / "theirs.git")
    theirs.push({"a": "1"})
    requests, clone = tmp_path / "requests", tmp_path / "clone"
    requests.mkdir()
    subprocess.run(["git", "clone", "-q", theirs.folder, clone], check=True, env=ENVIRONMENT)
    hook = theirs.folder / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    expected = threading.Event()
    with AgentAlarm(threading.Event(), str(theirs.folder), [], requests, "main", expected.set) as alarm:
        commit = ["git", "-C", str(clone), "commit", "-q", "--allow-empty", "-m", "change"]
        subprocess.run(commit, check=True, env=ENVIRONMENT)
        done = subprocess.run(["git", "-C", str(clone), "push", "-q"], capture_output=True, env=ENVIRONMENT)
        assert done.returncode != 0
        assert expected.wait(LONG)
        assert not alarm.pushed(), "the branch is as it was"


@pytest.mark.parametrize("branch", ["objects/incoming-1", "incoming-1"])
def test_the_names_of_a_branch_are_free(tmp_path: Path, branch: str) -> None:
    theirs = Repository(tmp_path / "theirs.git")
    theirs.push({"a": "1"}, branch)
    requests = tmp_path / "requests"
    requests.mkdir()
    with AgentAlarm(threading.Event(), str(theirs.folder), [], requests, branch) as alarm:
        theirs.push({"a": "2"}, branch)
        alarm.wait(LONG)
        theirs.push({"a": "3"}, branch)
        eventually(alarm.pushed)


def test_what_a_commit_takes_can_be_loaded_beforehand() -> None:
    """By a process that has loaded nothing yet."""
    code = (
        "import sys, threading; from reconciler.wiring.preload import MODULES, preload; preload();"
        "[item.join() for item in threading.enumerate() if item.name == 'preload'];"
        "print([name for name in MODULES if name not in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
