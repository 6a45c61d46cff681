"""The loop without Claude Code: it says why, waits, and continues. With Claude Code: tests/stack/test_ralph.py."""

from __future__ import annotations

import json
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ralph.agent import Agent
from ralph.settings import Limits, Settings
from ralph.slots import Slot
from ralph.state import load


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    for name in ("data/agents/1", "workspace"):
        (tmp_path / name).mkdir(parents=True)
    return Settings(
        limits=Limits(retry=0.05), key="a key", data=tmp_path / "data", workspaces=tmp_path / "workspace",
        own=tmp_path / "own", claude="/bin/false", pause_between=0.01,
    )  # fmt: skip


@pytest.fixture
def slot(settings: Settings) -> Slot:
    return Slot(1, settings.data / "agents/1")


@pytest.fixture
def running(settings: Settings, slot: Slot) -> Iterator[Callable[..., Agent]]:
    stopping = threading.Event()
    threads: list[threading.Thread] = []

    def start(**changes: object) -> Agent:
        agent = Agent(replace(settings, **changes), slot, stopping)  # type: ignore[arg-type]
        threads.append(threading.Thread(target=agent.run))
        threads[-1].start()
        return agent

    yield start
    stopping.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def until(what: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_loop_says_what_is_missing(running: Callable[..., Agent], slot: Slot) -> None:
    agent = running(key="")
    until(lambda: "no key" in agent.move.reason)
    assert slot.read("status.json")["status"] == "waiting"


def test_requests_are_done(running: Callable[..., Agent], slot: Slot, settings: Settings) -> None:
    agent = running()
    until(lambda: "PROMPT.md" in agent.move.reason)
    for verb, text in (("pause", "because"), ("prompt", "Do it."), ("nonsense", "")):
        request = slot.ask(verb, text)
        until(lambda path=request: not path.exists())  # type: ignore[misc]
    until(lambda: "because" in agent.move.reason)
    assert (settings.workspaces / "1/PROMPT.md").read_text() == "Do it."
    assert agent.workspace.git("log", "--format=%s") == "Another prompt"
    assert agent.state.turns == 0


def test_a_failing_program_opens_the_breaker_and_the_state_is_saved(running: Callable[..., Agent], slot: Slot) -> None:
    slot.ask("prompt", "Do it.")
    agent = running()
    until(lambda: agent.state.opens == {"same-error": 1})
    until(lambda: "same error 5 times: exit 1" in agent.move.reason)
    assert agent.state.turns == 5
    assert load(slot.folder / "state.json") == (agent.state, "")
    assert len((slot.folder / "turns.jsonl").read_text().splitlines()) == 5


def test_a_missing_program_is_an_error_like_others(running: Callable[..., Agent], slot: Slot) -> None:
    slot.ask("prompt", "Do it.")
    agent = running(claude="/does/not/exist")
    until(lambda: "/does/not/exist" in agent.state.breaker.reason)


@pytest.mark.parametrize(("script", "usd"), [("echo {}", 0.5), ("rm ../../own/errors; :", 2.0)])
def test_the_cost_of_a_turn_counts_if_its_commit_fails(
    running: Callable[..., Agent], slot: Slot, tmp_path: Path, script: str, usd: float
) -> None:
    """`git add` refuses a nested repository that has no commit."""
    result = {"type": "result", "total_cost_usd": 0.5, "result": "Made a repository."}
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ngit init --quiet inner\n{script.format(shlex.quote(json.dumps(result)))}\n")
    program.chmod(0o755)
    slot.ask("prompt", "Do it.")
    agent = running(claude=str(program), limits=Limits(retry=0.05, same_error=2))
    until(lambda: agent.state.opens == {"same-error": 1})
    assert agent.state.usd_total == 2 * usd, "which midnight does not reset"
    assert agent.state.last_turn["error"]


def test_a_full_disk_does_not_end_the_loop(
    running: Callable[..., Agent], slot: Slot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ralph.agent.TROUBLE", 0.05)
    # A folder in place of the file: writing fails as on a full disk, only for another reason.
    (slot.folder / "state.new").mkdir()
    slot.ask("prompt", "Do it.")
    agent = running()
    until(lambda: "state.new" in agent.move.reason)
    (slot.folder / "state.new").rmdir()
    until(lambda: agent.state.turns > 0)
    until(lambda: (slot.folder / "state.json").exists())
