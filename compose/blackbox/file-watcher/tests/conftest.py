"""A watcher with real files, a real database and a real HTTP server. Only the clock is simulated."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from brain_over_http import KEY, Api
from watcher.brain import Brain
from watcher.metrics import Measured
from watcher.settings import Settings
from watcher.state import State
from watcher.watching import Watcher


class Life:
    """`seconds` moves the clock. `restart` makes a new watcher with the same folders, volume and brain-api."""

    def __init__(self, folder: Path, api: Api) -> None:
        self.api = api
        self.root = folder / "watched" / "notes"
        self.root.mkdir(parents=True)
        self.settings = Settings(
            folder=self.root.parent, state=folder / "state", brain=api.url, key=KEY,
            rescan=30, quiet=2, longest_change=60, empty=600, largest=2 << 20,
        )  # fmt: skip
        self.settings.state.mkdir()
        self.now = 1000.0
        self.restart()

    def restart(self, key: str = KEY) -> None:
        self.measured = Measured(clock=lambda: self.now, turned=self.now)
        self.state = State(self.settings.state)
        self.watcher = Watcher(self.settings, self.state, Brain(self.api.url, key), self.measured, lambda: self.now)

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def turn(self, seconds: float = 0.0) -> float:
        self.now += seconds
        return self.watcher.turn()

    def settle(self) -> None:
        """Three turns over 200 s: enough to send every change, and to try again after failures."""
        for seconds in (0, 100, 100):
            self.turn(seconds)

    @property
    def pending(self) -> float:
        return self.measured.gauges["watcher_pending"]


@pytest.fixture
def api() -> Iterator[Api]:
    made = Api()
    yield made
    made.stop()


@pytest.fixture
def life(tmp_path: Path, api: Api) -> Life:
    return Life(tmp_path, api)
