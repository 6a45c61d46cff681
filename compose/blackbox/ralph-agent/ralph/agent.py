"""The loop: one turn after the other, while the gates allow it."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import child
from environment import of_claude, passed_on

from ralph.breaker import Breaker
from ralph.gates import Move, next_move
from ralph.settings import Settings
from ralph.slots import Slot
from ralph.state import State, load, save
from ralph.turn import SYSTEM, Turn, read
from ralph.workspace import PROMPT, GitFailed, Workspace, digest

PRINTED = 16 * 1024 * 1024
"""Most bytes that a turn may print. After that it is ended."""
HISTORY = 10 * 1024 * 1024
TROUBLE = 10.0
"""Seconds until the next try after an error of the machine, such as a full disk."""


class Agent:
    """`clock` gives seconds since 1970. When `stopping` is set, the loop ends; a running turn first gets its grace."""

    def __init__(
        self, settings: Settings, slot: Slot, stopping: threading.Event, clock: Callable[[], float] = time.time
    ) -> None:
        self.settings, self.slot, self.stopping, self.clock = settings, slot, stopping, clock
        self.state, corrupt = load(slot.folder / "state.json")
        home = slot.folder / "home"
        home.mkdir(exist_ok=True)
        self.workspace = Workspace(settings.workspaces / str(slot.number), slot.name, passed_on(home), self.beat)
        self.move, self.asked_to_stop = Move("starting"), 0.0
        settings.own.mkdir(parents=True, exist_ok=True)
        (settings.own / "agent").write_text(str(slot.number))
        if corrupt:
            log("the state could not be read and begins anew; the old file is kept as state.corrupt", error=corrupt)
        self.beat()

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                self.idle(self.settings.pause_between if self.step() else 1)
            except OSError as error:
                # Mostly a full disk: a restart would not help, and the state in memory is still right.
                self.move = Move("waiting", str(error))
                log("cannot go on", error=str(error))
                self.idle(TROUBLE)
        self.tell(Move("stopped"))

    def step(self) -> bool:
        """Take a turn if the gates allow it. Returns whether there was one."""
        self.beat()
        self.answer()
        try:
            self.workspace.prepare(self.settings.repository)
            text = self.workspace.prompt
        except (GitFailed, OSError) as error:
            self.tell(Move("waiting", str(error)))
            self.idle(TROUBLE)
            return False
        self.tell(next_move(self.state, self.settings.limits, self.missing(text), digest(text), self.clock()))
        if self.move.status != "running":
            return False
        self.turn(text)
        return True

    def missing(self, prompt: str) -> str:
        if not (self.settings.key or self.settings.token):
            return "no key: put one into the secret ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN"
        return "" if prompt else f"no {PROMPT}: `ralph prompt {self.slot.number} <{PROMPT}` gives one"

    def turn(self, prompt: str) -> None:
        limits, began = self.settings.limits, self.clock()
        self.state = self.state.begun(limits, began)
        self.keep()
        log("turn begins", turn=self.state.turns)
        try:
            turn = self.work(prompt, began)
        except (GitFailed, OSError) as error:
            turn = Turn(error=str(error))
        now = self.clock()
        turn = replace(turn, seconds=round(now - began, 1))
        self.state = self.state.after(turn, limits, digest(prompt), now)
        self.keep()
        self.remember()
        said = {"result": turn.result, "usd": turn.usd, "seconds": turn.seconds, "error": turn.error}
        log("turn ends", turn=self.state.turns, breaker=self.state.breaker.state, **said)

    def work(self, prompt: str, began: float) -> Turn:
        """Run Claude Code once in the workspace. Then commit what it left uncommitted, however it ended."""
        self.workspace.unlock()
        before = self.workspace.content()
        given, printed, errors = (self.settings.own / name for name in ("given", "printed", "errors"))
        # Remove Claude Code's own files of the last turn: a turn gets only the workspace from earlier turns.
        shutil.rmtree(self.settings.own / "turn", ignore_errors=True)
        given.write_text(prompt)
        printed.write_text("")
        turn = self.called((given, printed, errors), began)
        try:
            self.workspace.commit(f"Turn {self.state.turns}" + (f" ({turn.result})" if turn.error else ""))
            complete = turn.complete or self.workspace.plan_is_done
            return replace(turn, progress=self.workspace.content() != before, complete=complete)
        except (GitFailed, OSError) as error:
            # The result is kept although the commit failed, so that its cost is counted.
            return replace(turn, error=turn.error or str(error))

    def called(self, files: tuple[Path, Path, Path], began: float) -> Turn:
        """Run Claude Code and read its result. If it cannot be started or read, the cost is unknown."""
        _, printed, errors = files
        try:
            ended = child.run(
                self.command(), self.workspace.folder, self.environment(), files, lambda: self.ends(began, printed)
            )
            return read(tail(printed), tail(errors), ended.code, ended.why)
        except OSError as error:
            return Turn(error=str(error), usd=None)

    def command(self) -> list[str]:
        settings = self.settings
        left = settings.limits.usd_per_day - self.state.usd_today
        return [
            settings.claude, "--print", "--output-format", "json", "--model", settings.model,
            "--permission-mode", "acceptEdits", "--allowedTools", settings.tools, "--no-session-persistence",
            "--max-budget-usd", f"{max(0.01, min(settings.limits.usd_per_turn, left)):.2f}",
            "--append-system-prompt", SYSTEM,
        ]  # fmt: skip

    def environment(self) -> dict[str, str]:
        settings = self.settings
        return {
            **self.workspace.environment,
            **of_claude(settings.key, settings.token, settings.url, settings.own / "turn"),
            # Claude Code honours Retry-After. After three tries the loop waits instead, so that `status` shows it.
            "CLAUDE_CODE_MAX_RETRIES": "3",
        }

    def ends(self, began: float, printed: Path) -> str:
        """Called while a turn runs. Returns why the turn has to end now, or ''."""
        self.beat()
        self.answer(busy=True)
        now = self.clock()
        if self.stopping.is_set():
            self.tell(replace(self.move, status="stopping"))
            self.asked_to_stop = self.asked_to_stop or now
            return "stopping" if now - self.asked_to_stop > self.settings.grace else ""
        if now - began > self.settings.turn_seconds:
            return f"no end within {self.settings.turn_seconds:g} s"
        return "it printed too much" if printed.stat().st_size > PRINTED else ""

    def answer(self, busy: bool = False) -> None:
        """Do the requests of the command line. `busy`: a turn runs; then a new prompt waits for its end."""
        for path in sorted(self.slot.requests.glob("*.json")):
            request = self.slot.read(f"requests/{path.name}")
            verb, text = request.get("verb"), str(request.get("text") or "")
            if verb == "prompt" and busy:
                continue
            self.state = requested(self.state, str(verb), text)
            self.keep()
            if verb == "prompt":
                self.new_prompt(text)
            path.unlink(missing_ok=True)
            log("asked", verb=verb)

    def new_prompt(self, text: str) -> None:
        try:
            self.workspace.prepare(self.settings.repository)
            (self.workspace.folder / PROMPT).write_text(text)
            self.workspace.commit("Another prompt")
        except (GitFailed, OSError) as error:
            log("the prompt could not be written", error=str(error))

    def keep(self) -> None:
        save(self.state, self.slot.folder / "state.json")

    def remember(self) -> None:
        """Append one line for the turn. There are two files of about 10 MiB at most."""
        path = self.slot.folder / "turns.jsonl"
        if path.exists() and path.stat().st_size > HISTORY:
            path.replace(path.with_suffix(".old"))
        with path.open("a") as file:
            file.write(json.dumps(self.state.last_turn) + "\n")

    def tell(self, move: Move) -> None:
        if move != self.move:
            self.move = move
            log(move.status, reason=move.reason, until=move.until)
            told = {"status": move.status, "reason": move.reason, "until": move.until}
            self.slot.write("status.json", {**told, "since": self.clock(), "container": socket.gethostname()})

    def beat(self) -> None:
        (self.settings.own / "heartbeat").write_text(str(self.clock()))

    def idle(self, seconds: float) -> None:
        until = self.clock() + seconds
        while not self.stopping.is_set() and (left := until - self.clock()) > 0:
            self.beat()
            self.stopping.wait(min(1.0, left))


def requested(state: State, verb: str, text: str) -> State:
    """The state after a person's request. An unknown verb changes nothing."""
    if verb == "close":
        return replace(state, breaker=Breaker(), put_off_until=0.0, put_off_why="", in_a_row=0)
    if verb == "pause":
        return replace(state, paused=text or "no reason given")
    if verb == "resume":
        return replace(state, paused="", finished="", indicators=0, signals=0)
    return state


def tail(path: Path) -> str:
    """The last PRINTED bytes of a file, as text."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - PRINTED))
        return file.read().decode(errors="replace")


def log(message: str, **fields: object) -> None:
    """Write one JSON object as a line to stdout."""
    line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "message": message}
    print(json.dumps({**line, **{name: value for name, value in fields.items() if value}}), file=sys.stdout, flush=True)
