"""The alarm on a real repository: what ends a wait, and what shows that the branch has moved."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from reconciler.observe.alarm import AgentAlarm
from tests.repository import Repository

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


def test_what_a_commit_takes_can_be_loaded_beforehand() -> None:
    """By a process that has loaded nothing yet."""
    code = (
        "import sys, threading; from reconciler.wiring.preload import MODULES, preload; preload();"
        "[item.join() for item in threading.enumerate() if item.name == 'preload'];"
        "print([name for name in MODULES if name not in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
