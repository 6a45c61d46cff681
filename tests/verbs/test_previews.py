"""The process that judges pull requests: one at a time, and none while the agent works."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from reconciler.verbs.previews import EVERY, SLOWEST, Previews

WELL = """print('{"kind": "Preview", "pullRequests": []}')"""


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def previews(program: str, clock: Clock) -> Previews:
    return Previews([sys.executable, "-c", program], dict(os.environ), clock)


def starts(folder: Path) -> int:
    return len((folder / "started").read_text()) if (folder / "started").exists() else 0


def test_one_process_runs_at_a_time_and_the_next_when_it_is_due(tmp_path: Path) -> None:
    clock = Clock()
    made = previews(f"open({str(tmp_path / 'started')!r}, 'a').write('x'); {WELL}", clock)
    made.start()
    made.start()
    until(lambda: not made.busy)
    assert starts(tmp_path) == 1
    made.start()
    assert not made.busy
    clock.now += EVERY + 1
    made.start()
    until(lambda: starts(tmp_path) == 2 and not made.busy)


def test_a_stopped_process_is_killed_and_the_next_is_due_at_once(tmp_path: Path) -> None:
    started = tmp_path / "started"
    program = (
        f"import os, time; open({str(started)!r}, 'a').write('x'); print(os.getpid(), flush=True); time.sleep(600)"
    )
    made = previews(program, Clock())
    made.start()
    until(lambda: starts(tmp_path) == 1)
    made.stop()
    until(lambda: not made.busy)
    made.start()
    until(lambda: starts(tmp_path) == 2)
    made.stop()
    until(lambda: not made.busy)


def test_a_look_after_a_rollout_must_come_to_its_end(tmp_path: Path) -> None:
    made = previews(
        f"import time; time.sleep(0.5); open({str(tmp_path / 'started')!r}, 'a').write('x'); {WELL}", Clock()
    )
    made.stop()  # as each step of a rollout does
    made.look()
    assert starts(tmp_path) == 1


def test_the_process_ends_with_the_agent(tmp_path: Path) -> None:
    ending: list[bool] = []
    made = Previews(
        [sys.executable, "-c", f"import time; open({str(tmp_path / 'started')!r}, 'a').write('x'); time.sleep(600)"],
        dict(os.environ), Clock(), lambda: bool(ending),
    )  # fmt: skip
    made.start()
    until(lambda: starts(tmp_path) == 1)
    ending.append(True)
    until(lambda: not made.busy)


def test_pauses_grow_after_failures() -> None:
    made = previews("""print('{"kind": "Error", "message": "no", "hint": "do"}'); raise SystemExit(2)""", Clock())
    waited = []
    for _ in range(7):
        made.look()
        waited.append(made.due_in)
    assert waited == sorted(waited)
    assert waited[0] == EVERY * 2
    assert waited[-1] == SLOWEST
