"""The file for pushers is in a folder that another user may own, and other users read it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from reconciler.loop.turn import Turn
from reconciler.model.outcome import Outcome, Reason
from reconciler.observe.told import is_alive, told
from reconciler.record.text.push import Pushed, PushView
from reconciler.verbs.agent import Progress
from reconciler.verbs.clock import SystemClock
from reconciler.verbs.push_file import PushFile

SHA = "a" * 40
OWNER = 12345


def published(repository: Path, *turns: Turn) -> list[Mapping[str, Any]]:
    progress = Progress(SystemClock())
    file = PushFile(repository, "mini", "main", lambda document: document, output=True)
    for turn in turns or (Turn(Outcome.HELD, Reason.CONSENT_MISSING, "it waits", SHA, hint="accept it"),):
        progress.ended(turn)
        file.publish(progress, ())
    return list(told(repository / "reconciler"))


def test_without_the_folder_nothing_must_be_written(tmp_path: Path) -> None:
    assert published(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_everybody_who_may_read_the_folder_must_be_able_to_read_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "reconciler"
    folder.mkdir(mode=0o750)
    folder.chmod(0o750)
    found = published(tmp_path)
    assert (folder / "mini.json").stat().st_mode & 0o777 == 0o640
    assert (found[0]["host"], found[0]["branch"], is_alive(found[0])) == ("mini", "main", True)
    assert [path.name for path in folder.iterdir()] == ["mini.json"]


def test_no_link_must_be_followed(tmp_path: Path) -> None:
    victim, elsewhere, folder = tmp_path / "victim", tmp_path / "elsewhere", tmp_path / "reconciler"
    victim.write_text("kept")
    folder.mkdir()
    for name in ("mini.json", ".mini.json.new"):
        (folder / name).symlink_to(victim)
    assert published(tmp_path)
    assert victim.read_text() == "kept"
    assert not (folder / "mini.json").is_symlink()
    (folder / "other.json").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.json")
    (folder / "odd.json").write_text("[" * 100_000)
    assert [one["host"] for one in told(folder)] == ["mini"]
    elsewhere.mkdir()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/reconciler").symlink_to(elsewhere)
    published(tmp_path / "linked")
    assert list(elsewhere.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
@pytest.mark.parametrize("swapped", ["home.git", "home.git/.git", "home.git/reconciler"])
def test_the_owner_of_a_repository_must_not_make_root_write_into_another_folder(tmp_path: Path, swapped: str) -> None:
    """`swapped`: the path that the owner has replaced by a link to another folder with a folder of that name."""
    theirs, elsewhere = tmp_path / "theirs", tmp_path / "elsewhere"
    (theirs / "home.git/reconciler").mkdir(parents=True)
    (elsewhere / "reconciler").mkdir(parents=True)
    assert published(theirs / "home.git"), "it is written where nothing is swapped"
    if (theirs / swapped).exists():
        (theirs / swapped).rename(tmp_path / "aside")
    (theirs / swapped).symlink_to(elsewhere / "reconciler" if swapped.endswith("reconciler") else elsewhere)
    for path in (theirs, *theirs.rglob("*")):
        os.chown(path, OWNER, OWNER, follow_symlinks=False)
    published(theirs / "home.git")
    assert list((elsewhere / "reconciler").iterdir()) == []


def test_a_link_of_the_operator_to_the_repository_must_be_followed(tmp_path: Path) -> None:
    (tmp_path / "disk/home.git/reconciler").mkdir(parents=True)
    (tmp_path / "srv").symlink_to("disk")
    assert [one["host"] for one in published(tmp_path / "srv/home.git")] == ["mini"]


def test_a_turn_must_stay_in_the_file_when_the_next_one_follows(tmp_path: Path) -> None:
    (tmp_path / "reconciler").mkdir()
    good = Turn(Outcome.SUCCEEDED, Reason.RECONCILIATION_SUCCEEDED, "healthy", SHA)
    same = Turn(Outcome.UNCHANGED, Reason.RECONCILIATION_SUCCEEDED, "nothing to do", SHA)
    found = published(tmp_path, good, same, Turn(Outcome.UNCHANGED, same.reason, same.message, SHA))
    assert [row["outcome"] for row in found[0]["turns"]] == ["Succeeded", "Unchanged"]
    view = PushView("mini", Pushed(SHA, lambda back: "", 0), 0)
    assert view.lines(found[0], 1)[-1] == "mini: aaaaaaa Succeeded"
    assert view.ended


def test_written_turns_must_outlive_a_restart_of_the_process(tmp_path: Path) -> None:
    (tmp_path / "reconciler").mkdir()
    published(tmp_path)
    found = published(tmp_path, Turn(Outcome.UNCHANGED, Reason.RECONCILIATION_SUCCEEDED, "as it should be", SHA))
    assert [row["outcome"] for row in found[0]["turns"]] == ["Held", "Unchanged"]


def test_an_ended_process_must_not_be_confused_with_another_of_its_id() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    assert not is_alive({"pid": ended.pid, "born": None})
    assert is_alive({"pid": os.getpid(), "born": None})
    assert not is_alive({"pid": os.getpid(), "born": "1"}) or sys.platform != "linux"
    assert not is_alive({"pid": "1"})


@pytest.mark.parametrize("document", [{}, {"turns": 1}, {"turns": [{}]}, {"turns": [], "rollout": [], "plan": None}])
def test_a_document_that_is_not_ours_must_raise(document: dict[str, Any]) -> None:
    with pytest.raises((LookupError, TypeError, ValueError)):
        PushView("mini", Pushed(SHA, lambda back: "", 0), 0).lines(json.loads(json.dumps(document)), 1)


def test_lines_about_waiting_must_come_at_growing_intervals(tmp_path: Path) -> None:
    (tmp_path / "reconciler").mkdir()
    document = published(tmp_path, Turn(Outcome.UNCHANGED, Reason.RECONCILIATION_SUCCEEDED, "other", "b" * 40))[0]
    view = PushView("mini", Pushed(SHA, lambda back: "", 0), 0)
    said = [now for now in range(301) if view.lines(document, now)]
    assert said == [5, 15, 35, 75, 135, 195, 255]
