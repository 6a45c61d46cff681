"""ralph-agent and claude-runtime on a host of their own. Only the model's API is a stub."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.host import eventually
from tests.stack.blackbox import Blackbox, blackbox
from tests.stack.stubbed import SERVICE, Stub

FAST = {
    "RALPH_PAUSE_SECONDS": "0.2", "RALPH_RETRY_SECONDS": "0.2", "RALPH_TURN_MINUTES": "0.5",
    "RALPH_COOLDOWN_MINUTES": "0.1", "RALPH_CALLS_PER_HOUR": "10000", "RALPH_USD_PER_DAY": "10000",
}  # fmt: skip


class Agents:
    """Both services and the stub. `ralph` and `task` are called through `docker exec`, as people call them."""

    def __init__(self, stack: Blackbox, *services: str) -> None:
        """`services`: the names of services of the Compose file to start; the stub is added."""
        self.stack, self.stub, self._services = stack, Stub(stack), services
        self.beside: dict[str, Any] = {}
        self.files: dict[str, str | bytes] = {}

    def push(self, **settings: str) -> str:
        """Commit the stack with `settings` in `.env`, the services `beside` and their `files`. Returns the sha."""
        beside, files = {**SERVICE, **self.beside}, self.stub.files(**{**FAST, **settings}) | self.files
        return self.stack.push(files, beside, (*self._services, *beside))

    def ralph(self, *words: str, number: int = 1) -> str:
        return self.stack.host.exec(f"ralph-agent-{number}", f"ralph {' '.join(words)}")

    def agents(self) -> list[dict[str, Any]]:
        agents: list[dict[str, Any]] = json.loads(self.ralph("status --output json"))["agents"]
        return agents

    def agent(self) -> dict[str, Any]:
        return self.agents()[0]

    def prompt(self, text: str, agent: int = 1) -> None:
        self.stack.host.exec("ralph-agent-1", f"echo '{text}' | ralph prompt {agent} || true")

    def git(self, *words: str, agent: int = 1) -> str:
        return self.stack.host.exec("ralph-agent-1", f"git -C /workspace/{agent} {' '.join(words)}")

    def submit(self, prompt: str, *options: str) -> str:
        script = f"task submit {' '.join(options)} {shlex.quote(prompt)}"
        return self.stack.host.exec("claude-runtime-1", script).splitlines()[-1]

    def task(self, id: str) -> dict[str, Any]:
        told = self.stack.host.exec("claude-runtime-1", f"task result {id} --output json || true")
        document: dict[str, Any] = json.loads(told)
        return document

    def ended(self, id: str, status: str) -> dict[str, Any]:
        ended = {"succeeded", "failed", "cancelled", "timed-out", "interrupted"}
        task: dict[str, Any] = eventually(lambda: (t := self.task(id))["status"] in ended and t, 40, 0.3)
        assert task["status"] == status, task
        return task

    def processes(self, service: str) -> str:
        return self.stack.host.exec(f"{service}-1", "ps -eo args")


@contextmanager
def agents(
    folder: Path, compose: Path, *services: str, prepare: Callable[[Agents], None] = lambda made: None
) -> Iterator[Agents]:
    """The agents, started from nothing until Healthy. `prepare` may add further services and secrets."""
    with blackbox(folder, compose) as stack:
        made = Agents(stack, *services)
        prepare(made)
        made.push()
        turn = stack.once()
        assert (turn.code, turn["outcome"]) == (0, "Succeeded"), turn.stdout
        yield made
