"""Which agent a container runs. Replicas share the volumes; each takes the first agent that no other replica holds."""

from __future__ import annotations

import fcntl
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

MANY = 64


@dataclass(frozen=True, slots=True)
class Slot:
    """Agent `number`, with its folder of state. The folder is kept for the next container that takes the agent."""

    number: int
    folder: Path

    @property
    def name(self) -> str:
        return f"ralph-{self.number}"

    @property
    def requests(self) -> Path:
        return self.folder / "requests"

    def write(self, name: str, document: Any) -> None:
        new = self.folder / f"{name}.new"
        new.write_text(json.dumps(document))
        new.replace(self.folder / name)

    def read(self, name: str) -> dict[str, Any]:
        """A document of this agent; empty if it is missing or cannot be read."""
        try:
            document = json.loads((self.folder / name).read_text())
        except (OSError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}

    def held(self) -> bool:
        """Whether a container runs this agent now."""
        with (self.folder / "lock").open("w") as lock:
            return not _locked(lock)

    def ask(self, verb: str, text: str = "") -> Path:
        """Write a request for the loop, and return its file. The loop removes the file once the request is done."""
        self.requests.mkdir(exist_ok=True)
        path = self.requests / f"{time.time_ns()}.json"
        new = path.with_suffix(".new")
        new.write_text(json.dumps({"verb": verb, "text": text}))
        new.replace(path)
        return path


def claim(agents: Path) -> tuple[Slot, IO[str]]:
    """Take an agent and its lock, which is held until the file is closed or the process ends.

    RuntimeError if other containers hold all agents.
    """
    for number in range(1, MANY + 1):
        slot = Slot(number, agents / str(number))
        slot.folder.mkdir(parents=True, exist_ok=True)
        lock = (slot.folder / "lock").open("w")
        for _ in range(2):
            if _locked(lock):
                return slot, lock
            # `held`, in another process, may have the lock for a moment.
            time.sleep(0.1)
        lock.close()
    raise RuntimeError(f"all {MANY} agents are held by other containers")


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def known(agents: Path) -> list[Slot]:
    """Every agent that ever ran."""
    numbers = sorted(int(path.name) for path in agents.glob("[0-9]*") if path.name.isdigit())
    return [Slot(number, agents / str(number)) for number in numbers]
