"""A remote that accepts the connection and never answers: the real agent, real git, and a short time limit."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

from reconciler.decide.redact import Redactor
from reconciler.parser import parse
from reconciler.settings import Settings, SourceSettings
from reconciler.wiring.assembly import Application
from tests.e2e.host import eventually

PATIENCE = 5.0


class MuteServer:
    """Accepts every connection and sends nothing until it is closed."""

    def __init__(self) -> None:
        self._watchdog = socket.create_server(("127.0.0.1", 0))
        self.open: list[socket.socket] = []
        self.port: int = self._watchdog.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._watchdog.close()
        for item in self.open:
            item.close()

    def _accept(self) -> None:
        while True:
            try:
                self.open.append(self._watchdog.accept()[0])
            except OSError:
                return


def test_a_fetch_that_hangs_is_told_while_it_hangs_and_ends_by_itself(tmp_path: Path) -> None:
    server = MuteServer()
    state = tmp_path / "state"
    source = SourceSettings(f"https://127.0.0.1:{server.port}/home.git")
    settings = Settings("mini", source, str(state), engine=f"unix://{tmp_path}/none.sock", compose="/bin/true")
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    application = Application(settings, threading.Event(), Redactor(), environ, silence=PATIENCE)
    answers: list[tuple[int, Any]] = []
    turn = threading.Thread(target=lambda: answers.append(application.once(parse(["once", "--timeout", "60s"]))))
    begun = time.monotonic()
    turn.start()

    def status() -> Any:
        return Application(settings, threading.Event(), Redactor(), environ).status(parse(["status", "--no-engine"]))

    code, document = eventually(lambda: (answer := status())[1]["stalled"] and answer)
    assert time.monotonic() - begun >= PATIENCE
    assert (code, document["health"], document["reason"]) == (4, "Degraded", "Stalled")
    silence = document["silence"]
    assert (silence["step"], silence["blocked"]) == ("fetch the branch", True)
    assert "waits for the remote" in silence["message"]
    published = state / "status.json"
    assert eventually(lambda: published.exists() and json.loads(published.read_text())["stalled"])
    assert eventually(lambda: server.open)
    server.close()
    turn.join(20)
    assert [(code, document["reason"]) for code, document in answers] == [(3, "FetchFailed")]
    _, document = status()
    assert (document["stalled"], document["silence"]) == (False, None)
    records = [json.loads(line) for line in (state / "journal.jsonl").read_text().splitlines()]
    told = [(item["step"], item["reason"]) for item in records if item["kind"] == "silent"]
    assert told == [("fetch the branch", "Stalled")], "once"
