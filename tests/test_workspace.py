"""Temporary folders go with their process, however it ends; a disk keeps room for its other users."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.errors import Transient
from reconciler.model.outcome import Reason
from reconciler.workspace import SMALL, Workspace, check_room, room, sweep

KILLED = """
import os, sys, time
from pathlib import Path
from reconciler.workspace import Workspace
folder = Workspace(Path(sys.argv[1])).path
(folder / "deep/er").mkdir(parents=True)
(folder / "deep/er/file").write_bytes(bytes(1 << 20))
(folder / "deep/er").chmod(0o555)
print("ready", flush=True)
sys.stdin.read()
"""


def started(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_what_a_killed_process_left_goes_with_the_next_start(tmp_path: Path) -> None:
    killed, living = started(tmp_path), started(tmp_path)
    try:
        killed.kill()
        killed.communicate()
        assert len(list(tmp_path.iterdir())) == 2
        sweep(tmp_path)
        assert len(list(tmp_path.iterdir())) == 1
        own = Workspace(tmp_path)
        assert len(list(tmp_path.iterdir())) == 2
        own.remove()
        assert len(list(tmp_path.iterdir())) == 1
    finally:
        living.kill()
        living.communicate()
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_link_or_a_file_in_its_place_is_taken_away_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    parent = tmp_path / "parent"
    parent.mkdir()
    (parent / "in-use-link").symlink_to(tmp_path / "kept")
    (parent / "in-use-file").write_text("x")
    sweep(parent)
    assert (list(parent.iterdir()), (tmp_path / "kept").is_dir()) == ([], True)


def test_what_a_person_has_in_such_a_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine.txt").touch()
    sweep(tmp_path)
    Workspace(tmp_path).remove()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "mine.txt"]


def test_nothing_to_sweep_is_no_reason_not_to_start(tmp_path: Path) -> None:
    sweep(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_what_does_not_fit_is_said_before_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(Transient, match=r"what is mounted needs .* and .* may be used") as raised:
        check_room(tmp_path, room(tmp_path) + (1 << 40), "what is mounted")
    assert raised.value.reason is Reason.DISK_FAILED
    check_room(tmp_path, SMALL, "what is mounted")
