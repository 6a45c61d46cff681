"""The agent's messages to systemd, on a real socket, from the program as systemd starts it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.logs import LARGEST
from reconciler.notify import QUIET, ServiceManager
from tests.repository import Repository


class Listener:
    """systemd's end."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self.heard: list[str] = []

    def until(self, beginning: str, seconds: float = 60) -> str:
        """The next message that begins so."""
        deadline = time.monotonic() + seconds
        while True:
            self._socket.settimeout(max(0.01, deadline - time.monotonic()))
            self.heard.append(self._socket.recv(4096).decode())
            if self.heard[-1].startswith(beginning):
                return self.heard[-1]

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    made = Listener(str(tmp_path / "notify"))
    yield made
    made.close()


def test_it_is_alive_only_while_the_loop_is_seen(tmp_path: Path, listener: Listener) -> None:
    now = [0.0]
    manager = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify")}, lambda: now[0])
    now[0] = QUIET - 1
    manager.alive()
    now[0] = QUIET + 1
    manager.alive()
    manager.status("not seen")
    manager.pulse()
    manager.alive()
    listener.until("WATCHDOG")
    listener.until("STATUS")
    assert listener.heard == ["WATCHDOG=1", "STATUS=not seen"]
    assert listener.until("WATCHDOG") == "WATCHDOG=1"


def test_a_status_is_one_line_and_told_once(tmp_path: Path, listener: Listener) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    manager.status("two\nREADY=1 lines")
    manager.status("two READY=1\tlines")
    manager.stopping()
    listener.until("STOPPING")
    assert listener.heard == ["STATUS=two READY=1 lines", "STOPPING=1"]


@pytest.mark.parametrize("address", ["", "relative", "/nonexistent/socket"])
def test_nobody_that_listens_is_no_error(address: str) -> None:
    ServiceManager({"NOTIFY_SOCKET": address}).ready()


def agent(folder: Path, **environment: str) -> subprocess.Popen[bytes]:
    """An agent whose engine is not up."""
    repository = Repository(folder / "home.git")
    repository.push({"compose.yaml": "services: {web: {image: debian}}\n"})
    config = folder / "reconciler.yaml"
    config.write_text(
        f"host: mini\nsource: {{url: {repository.folder}, interval: 1s}}\n"
        f"state: {folder}/state\nengine: unix://{folder}/no-engine.sock\n"
    )
    command = [sys.executable, "-m", "reconciler", "--config", str(config), "run"]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(command, env={**os.environ, **environment}, stderr=log, stdout=log, cwd=folder)


def test_an_engine_that_is_not_up_does_not_keep_the_service_from_being_ready(
    tmp_path: Path, listener: Listener
) -> None:
    process = agent(tmp_path, NOTIFY_SOCKET=str(tmp_path / "notify"))
    try:
        listener.until("READY=1")
        assert "EngineUnavailable" in listener.until("STATUS=Failed")
        listener.until("WATCHDOG=1")
        process.send_signal(signal.SIGTERM)
        listener.until("STOPPING=1")
        assert process.wait(60) == 143
    finally:
        process.kill()
        process.wait()


def test_a_log_that_stderr_leads_to_is_kept_small(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * LARGEST)
    process = agent(tmp_path, RECONCILER_LOG_FILE=str(log))
    deadline = time.monotonic() + 60
    try:
        while not (tmp_path / "log.1").exists() or "EngineUnavailable" not in log.read_text():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait()
    assert (tmp_path / "log.1").stat().st_size >= LARGEST
    assert log.stat().st_size < LARGEST
