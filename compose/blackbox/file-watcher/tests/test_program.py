"""The program as a process: events wake it, it reports its health over HTTP, SIGTERM ends it at once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from brain_over_http import KEY, Api

PROGRAM = Path(__file__).parents[1]


@pytest.fixture
def started(tmp_path: Path, api: Api) -> Iterator[subprocess.Popen[bytes]]:
    (tmp_path / "watched/notes").mkdir(parents=True)
    (tmp_path / "state").mkdir()
    (tmp_path / "key").write_text(KEY)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = {
        **os.environ, "PYTHONPATH": str(PROGRAM), "WATCHED": str(tmp_path / "watched"),
        "STATE": str(tmp_path / "state"),
        "BRAIN_API_URL": api.url, "BRAIN_API_KEY_FILE": str(tmp_path / "key"), "PORT": port,
        "QUIET_SECONDS": "0.2", "RESCAN_SECONDS": "300",
    }  # fmt: skip
    os.environ["PORT"] = port
    running = subprocess.Popen([sys.executable, "-m", "watcher"], env=environment, stdout=subprocess.DEVNULL)
    yield running
    running.kill()
    running.wait()
    del os.environ["PORT"]


def eventually(true: Callable[[], bool], seconds: float = 40.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def healthy() -> bool:
    check = [sys.executable, "-I", "-S", str(PROGRAM / "watcher/healthy.py")]
    return subprocess.run(check, capture_output=True, env=dict(os.environ), check=False).returncode == 0


def test_events_wake_the_watcher_and_sigterm_ends_it(
    started: subprocess.Popen[bytes], tmp_path: Path, api: Api
) -> None:
    eventually(lambda: "GET /api/v1/artifacts" in api.requests)
    eventually(healthy)
    # Without events the next scan would come long after this test's time limit.
    notes = tmp_path / "watched/notes"
    (notes / "folder").mkdir()
    (notes / "folder/a.md").write_text("a")
    eventually(lambda: api.contents == {"notes/folder/a.md": "a"})
    (notes / "folder/a.md").rename(notes / "b.md")
    eventually(lambda: api.contents == {"notes/b.md": "a"})
    started.send_signal(signal.SIGTERM)
    assert started.wait(timeout=20) == 0
    assert not healthy()
