"""The terminal program without a terminal: its threads' results are given, its screen is read as text."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console
from textual.pilot import Pilot

from reconciler.dashboard.app import Dashboard
from reconciler.dashboard.screens import READING
from reconciler.dashboard.threads import Doors, Newest
from reconciler.monitor.samples import Samples
from reconciler.monitor.snapshot import Board, Json, Snapshot
from tests.monitor.conftest import NOW, snapshot

NAMED = {"enter", "escape", "slash", "space", "home", "end", "pageup", "down", "question_mark", "ctrl+c"}


def log_row(line: str, service: str = "web", second: int = 20, container: str = "") -> Json:
    return {
        "time": f"2023-11-14T22:13:{second:02}.000000000Z", "stack": "shop", "service": service,
        "container": container or service * 8, "stream": "stdout", "line": line,
    }  # fmt: skip


Steps = Callable[["Person"], Awaitable[Any]]


def healthy() -> Snapshot:
    shown = snapshot()
    well = {"sync": "Synced", "health": "Healthy", "reason": "ReconciliationSucceeded", "message": "applied"}
    budget = {
        **(shown.status or {})["budget"],
        "steadyBytes": 64 << 20,
        "reserveBytes": 128 << 20,
        "foreignBytes": 20 << 20,
    }
    return replace(shown, status={**(shown.status or {}), **well, "since": "2023-11-14T22:11:40Z", "budget": budget})


class Stage:
    """`asked`: the verbs that were run. `answers`: first word of a verb → its document. `lines`: rows of all logs."""

    def __init__(self) -> None:
        self.board, self.samples = Board(healthy()), Samples()
        self.samples.add(NOW, {"cpu shop/web": 0.034})
        self.lines: list[Json] = [log_row("GET / 200")]
        self.asked: list[list[str]] = []
        self.answers: dict[str, Json] = {}
        self.followed: list[tuple[str, bool]] = []
        self.ended = False
        self.now = NOW + 1

    def show(self, shown: Snapshot | None = None, **status: Any) -> None:
        """A snapshot, with fields of its status changed."""
        made = shown or healthy()
        self.board.post(replace(made, status={**(made.status or {}), **status}) if status else made)

    def program(self, colour: bool = True) -> Dashboard:
        newest = Newest(lambda since: list(self.lines))
        newest.look()
        doors = Doors(
            "mini", self.board, self.samples, self._follow, self._ask,
            lambda: self.ended, lambda: self.now,
        )  # fmt: skip
        return Dashboard(doors, newest, colour)

    def _follow(self, service: str, replaced: bool) -> Iterator[Sequence[Json]]:
        self.followed.append((service, replaced))
        yield [row for row in self.lines if f"{row['stack']}/{row['service']}" == service]

    def _ask(self, words: Sequence[str]) -> Json:
        self.asked.append(list(words))
        return self.answers[words[0]]

    def play(self, steps: Steps, size: tuple[int, int] = (80, 24), colour: bool = True) -> None:
        """Run the program, and `steps` with a person at its keyboard."""

        async def played() -> None:
            program = self.program(colour)
            async with program.run_test(size=size) as pilot:
                person = Person(pilot)
                await person.look()
                await steps(person)

        asyncio.run(played())

    def screen(self, *keys: str, size: tuple[int, int] = (80, 24)) -> str:
        """The screen after these keys."""
        found = ""

        async def steps(person: Person) -> None:
            nonlocal found
            found = await person.press(*keys)

        self.play(steps, size)
        return found


class Person:
    """Presses keys and looks at the screen."""

    def __init__(self, pilot: Pilot[None]) -> None:
        self.pilot = pilot

    async def press(self, *keys: str) -> str:
        """Press named keys or type texts; returns the screen."""
        for key in keys:
            if key == "y":
                await self.look()
                await self.pilot.pause(1.1 * READING)
            await self.pilot.press(*([key] if key in NAMED else key))
        return await self.look()

    async def look(self) -> str:
        """The screen, after all keys were handled and the threads have answered."""
        before, until = "", time.monotonic() + 20
        while time.monotonic() < until and not self.pilot.app.return_code:
            await self.pilot.pause(0.01)
            look = getattr(self.pilot.app.screen, "look", None)
            if look is not None:
                look()
            await self.pilot.pause()
            now = screen(self.pilot.app)
            if now == before and "looking …" not in now and self._idle():
                return now
            before = now
        assert self.pilot.app.return_code, before
        return before  # an exception has ended the program

    def _idle(self) -> bool:
        """Whether no message waits in any widget."""
        stack = self.pilot.app.screen_stack
        pumps = [self.pilot.app, *stack, *(widget for item in stack for widget in item.walk_children())]
        return not any(pump.message_queue_size for pump in pumps)


def screen(program: Any, ansi: bool = False) -> str:
    """The text on the screen, without blanks at the ends of lines; `ansi`: with what steers the terminal."""
    width, height = program.size
    console = Console(
        width=width, height=height, file=io.StringIO(), force_terminal=True, color_system="truecolor", record=True,
        legacy_windows=False, safe_box=False,
    )  # fmt: skip
    console.print(program.screen._compositor.render_update(full=True, screen_stack=program._background_screens))
    text = console.export_text(styles=ansi)
    return text if ansi else "\n".join(line.rstrip() for line in text.splitlines()).rstrip() + "\n"


@pytest.fixture
def stage() -> Stage:
    return Stage()
