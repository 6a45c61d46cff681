"""One holder at a time, whoever tries, and however it ended."""

from __future__ import annotations

import os
import select
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from reconciler.errors import Locked, Transient, Usage
from reconciler.model.outcome import Reason
from reconciler.record.lock import StateLock, holder

HOLD = """
import sys, time
from pathlib import Path
from reconciler.record.lock import StateLock
with StateLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(300)
"""

RACE = """
import sys, time
from pathlib import Path
from reconciler.errors import Locked
from reconciler.record.lock import StateLock
state = Path(sys.argv[1])
try:
    with StateLock(state):
        mark = state / "acting"
        mark.touch(exist_ok=False)
        time.sleep(0.02)
        mark.unlink()
        print("held")
except Locked:
    print("locked")
"""


ANEW = """
import os, sys, time
from pathlib import Path
from reconciler.record.lock import StateLock
state = Path(sys.argv[1])
if len(sys.argv) == 2:
    lock = StateLock(state)
    lock.acquire()
    os.set_inheritable(lock.descriptor, True)
    os.execv(sys.executable, [sys.executable, sys.argv[0], str(state), str(lock.descriptor)])
with StateLock(state, int(sys.argv[2])):
    print("held", flush=True)
    time.sleep(300)
"""


def holding(state: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, state], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_process_that_starts_anew_goes_on_holding_it(tmp_path: Path) -> None:
    state = tmp_path / "state"
    program = tmp_path / "program.py"
    program.write_text(ANEW)
    process = subprocess.Popen([sys.executable, program, state], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        while not (state / "lock").exists() or holder(state) in (None, 0):
            assert process.poll() is None
        tries = 0
        while not select.select([process.stdout], [], [], 0)[0]:
            assert holder(state) == process.pid, tries
            tries += 1
        assert tries > 10
        with pytest.raises(Locked):
            StateLock(state).acquire()
    finally:
        process.kill()
        process.communicate()
    with StateLock(state):
        assert holder(state) == os.getpid()


def test_makes_the_folder_for_us_alone(tmp_path: Path) -> None:
    state = tmp_path / "var" / "state"
    with StateLock(state):
        assert stat.S_IMODE(state.stat().st_mode) == 0o700
        assert (state / "lock").read_text() == f"{os.getpid()}\n"


def test_an_empty_folder_is_closed_to_others(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o755)
    with StateLock(state):
        assert stat.S_IMODE(state.stat().st_mode) == 0o700


def test_a_folder_of_other_things_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    tmp_path.chmod(0o755)
    with pytest.raises(Usage, match="holds other files") as caught:
        StateLock(tmp_path).acquire()
    assert f"chmod 700 {tmp_path}" in caught.value.hint
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_path_that_is_no_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(Transient, match="cannot be used: File exists") as caught:
        StateLock(tmp_path / "state").acquire()
    assert caught.value.reason is Reason.DISK_FAILED


def test_the_second_process_is_told_who_holds_it(tmp_path: Path) -> None:
    other = holding(tmp_path)
    try:
        with pytest.raises(Locked, match=f"held by process {other.pid}") as caught:
            StateLock(tmp_path).acquire()
        assert caught.value.exit_code == 75
        assert holder(tmp_path) == other.pid
    finally:
        other.kill()
        other.communicate()


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    other = holding(tmp_path)
    other.kill()
    other.communicate()
    assert holder(tmp_path) is None
    with StateLock(tmp_path):
        assert holder(tmp_path) == os.getpid()


def test_released_is_free_again(tmp_path: Path) -> None:
    lock = StateLock(tmp_path)
    lock.acquire()
    lock.release()
    lock.release()
    assert holder(tmp_path) is None
    with StateLock(tmp_path):
        pass


def test_nobody_holds_what_is_not_there(tmp_path: Path) -> None:
    assert holder(tmp_path / "none") is None
    assert not (tmp_path / "none").exists()


def test_a_folder_into_which_we_may_not_look_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Transient, match="cannot be used: Not a directory"):
        holder(tmp_path / "file")


def test_looking_keeps_nobody_out(tmp_path: Path) -> None:
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            holder(tmp_path)
            # Never long enough to be without it for all of an owner's tries.
            stop.wait(0.001)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for _ in range(50):
            with StateLock(tmp_path):
                pass
    finally:
        stop.set()
        watcher.join()


def test_a_lock_file_that_was_deleted_under_the_holder_is_not_mistaken_for_ours(tmp_path: Path) -> None:
    with StateLock(tmp_path):
        (tmp_path / "lock").unlink()
        with StateLock(tmp_path):
            assert holder(tmp_path) == os.getpid()


def test_of_many_racers_each_acts_alone(tmp_path: Path) -> None:
    for _ in range(3):
        racers = [
            subprocess.Popen([sys.executable, "-c", RACE, tmp_path], stdout=subprocess.PIPE, text=True)
            for _ in range(4)
        ]
        said = [(racer.communicate()[0], racer.returncode) for racer in racers]
        assert {code for _, code in said} == {0}
        assert ("held\n", 0) in said
