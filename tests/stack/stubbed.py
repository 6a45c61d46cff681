"""The stub of the model's API as a further service of the stack. Tests choose its behaviour through `docker exec`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.conftest import ROOT
from tests.stack.blackbox import FOLDER, Blackbox, compose_document

STUB = ROOT / "tests/stack/model_stub"
SERVICE = {
    "model-stub": {
        "build": "./model-stub",
        "restart": "unless-stopped",
        "init": True,
        "read_only": True,
        "networks": [name for name, item in compose_document()["networks"].items() if not item.get("internal")],
        "mem_limit": "128m",
        "healthcheck": {
            "test": ["CMD", "python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8900/')"],
            "interval": "10s", "start_period": "20s", "start_interval": "1s",
        },
    }
}  # fmt: skip
_ASK = (
    "import sys, urllib.request as u; body = sys.argv[2].encode() or None; "
    "print(u.urlopen(u.Request('http://127.0.0.1:8900' + sys.argv[1], body)).read().decode())"
)


class Stub:
    """The stub in a stack that was pushed with `files()` and SERVICE. The stack gets a key; the stub takes any key."""

    def __init__(self, stack: Blackbox) -> None:
        self._stack = stack
        self._place("ANTHROPIC_API_KEY", "sk-stub-" + "0" * 24)

    def files(self, **settings: str) -> dict[str, str | bytes]:
        """The files of the stub's program, and `.env` with the stub's address and `settings`."""
        text = (ROOT / FOLDER / ".env").read_text()
        for name, value in {"ANTHROPIC_BASE_URL": "http://model-stub:8900", **settings}.items():
            text, found = re.subn(rf"(?m)^{name}=.*$", f"{name}={value}", text)
            assert found == 1, name
        program = {f"{FOLDER}/model-stub/{path.name}": path.read_bytes() for path in self._program()}
        return {f"{FOLDER}/.env": text, **program}

    def behave(self, behaviour: str = "work", **how: Any) -> None:
        """Choose the behaviour. `how`: times, seconds, retry_after (fields of `model_stub.server.Chosen`)."""
        self._ask("/stub/behaviour", json.dumps({"behaviour": behaviour, **how}))

    def stats(self) -> dict[str, Any]:
        """Counters of the requests so far: total, under_way, requests, statuses, models."""
        told: dict[str, Any] = json.loads(self._ask("/stub/stats", ""))
        return told

    def _ask(self, path: str, body: str) -> str:
        return self._stack.host.exec("model-stub-1", f"python3 -c \"{_ASK}\" '{path}' '{body}'")

    def _place(self, name: str, value: str) -> None:
        path = self._stack.host.secrets / self._stack.host.stack / name
        path.touch(mode=0o600)
        path.write_text(value)

    @staticmethod
    def _program() -> list[Path]:
        return [path for path in sorted(STUB.iterdir()) if path.is_file()]
