"""Takes tasks from the queue, oldest first, and runs each as one fresh process of Claude Code."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import child
from environment import of_claude, passed_on
from result import last_result

from tasks.metrics import Totals
from tasks.settings import Settings
from tasks.store import Store
from tasks.task import CANCELLED, FAILED, INTERRUPTED, QUEUED, RUNNING, TIMED_OUT, Task

Files = tuple[Path, Path, Path]
LARGEST_LOG = 64 * 1024 * 1024
RESULT = 4 * 1024 * 1024
"""Bytes at the end of a log in which the result is looked for."""
CACHE = "home/.cache/claude-cli-nodejs"
"""Where Claude Code logs each session with MCP servers, for ever, whatever folder for settings it is given."""
HOUR = 3600.0
TROUBLE = 5.0
"""Seconds until the next try where the machine itself is in the way."""


class Worker:
    """`clock` gives seconds since 1970. What is set by `stopping` ends all that runs, and the worker."""

    def __init__(
        self, settings: Settings, store: Store, stopping: threading.Event, clock: Callable[[], float] = time.time
    ) -> None:
        self.settings, self.store, self.stopping, self.clock = settings, store, stopping, clock
        self.running: dict[str, threading.Thread] = {}
        self.pruned, self.totals = 0.0, Totals()
        for folder in (settings.own, settings.data / "home"):
            folder.mkdir(parents=True, exist_ok=True)
        self.ssh = keep_key(settings)

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                self.step()
                self.stopping.wait(0.5)
            except OSError as error:
                # A full disk, most of all: a restart would not help.
                log("cannot go on", error=str(error))
                self.stopping.wait(TROUBLE)
        for thread in self.running.values():
            thread.join()

    def recover(self, task: Task) -> None:
        """Nobody runs it any more: it is tried again, or stays interrupted and says it."""
        if task.status == RUNNING:
            task = replace(task, status=INTERRUPTED, ended=self.clock(), text="interrupted by a restart")
        again = task.again(self.settings.attempts)
        shutil.rmtree(self.cloning(task), ignore_errors=True)
        self.store.save(again)
        log("was interrupted", task=task.id, status=again.status)

    def step(self) -> None:
        """Start what may start. Called twice a second."""
        (self.settings.own / "heartbeat").write_text(str(self.clock()))
        self.running = {id: thread for id, thread in self.running.items() if thread.is_alive()}
        if self.clock() - self.pruned > HOUR:
            self.pruned = self.clock()
            self.store.prune(self.pruned - 24 * HOUR * self.settings.keep_days)
        for task in self.store.all():
            if task.id in self.running:
                continue
            if task.status == RUNNING or (task.status == INTERRUPTED and task.again(self.settings.attempts) != task):
                self.recover(task)
            elif task.status != QUEUED:
                continue
            elif self.store.cancelled(task):
                self.end(replace(task, status=CANCELLED, ended=self.clock()))
            elif len(self.running) < self.settings.at_once and self.ready:
                self.running[task.id] = threading.Thread(target=self.work, args=(task,))
                self.running[task.id].start()

    @property
    def ready(self) -> bool:
        """Without a key tasks wait: one that is given later is no reason to lose them."""
        return bool(self.settings.key or self.settings.token)

    def work(self, task: Task) -> None:
        try:
            task = task.begun(self.clock())
            self.store.save(task)
            log("begins", task=task.id, attempt=task.attempts)
            task = self.tried(task)
            self.totals.add(task)
            # A worker that ends leaves the rest to the next one.
            self.end(task if self.stopping.is_set() else task.again(self.settings.attempts))
        except OSError as error:
            # What is on the disk says that it waits, or that it runs: either way the next step takes it up.
            log("cannot write", task=task.id, error=str(error))
            self.stopping.wait(TROUBLE)

    def tried(self, task: Task) -> Task:
        try:
            return self.attempt(task)
        except (OSError, ValueError) as error:
            return replace(task, status=FAILED, ended=self.clock(), text=str(error))
        finally:
            for left in (self.settings.own / task.id, self.settings.data / CACHE, self.cloning(task)):
                shutil.rmtree(left, ignore_errors=True)

    def attempt(self, task: Task) -> Task:
        folder, printed = self.folder(task), self.store.path(task, "log.jsonl")
        with printed.open("a") as file:
            file.write(json.dumps({"type": "attempt", "number": task.attempts}) + "\n")
        begins = printed.stat().st_size
        errors = self.store.path(task, "errors")
        until = partial(self.ends, task, printed)
        if task.clone and not (folder.is_dir() and any(folder.iterdir())):
            ended = self.clone(task, folder, (Path(os.devnull), printed, errors), until)
            if ended.why:
                return replace(task.after(None, "", ended.code, ended.why, self.clock()), spent=0.0)
        folder.mkdir(parents=True, exist_ok=True)
        files = (self.store.path(task, "prompt"), printed, errors)
        ended = child.run(self.command(task), folder, self.environment(task), files, until)
        with printed.open("rb") as file:
            file.seek(max(begins, printed.stat().st_size - RESULT))
            result = last_result(file.read().decode(errors="replace"))
        return task.after(result, errors.read_text(errors="replace"), ended.code, ended.why, self.clock())

    def ends(self, task: Task, printed: Path) -> str:
        """Why it has to end now, if so."""
        if self.stopping.is_set():
            return INTERRUPTED
        if self.store.cancelled(task):
            return CANCELLED
        if self.clock() - task.started > 60 * task.minutes:
            return TIMED_OUT
        return f"its log has {LARGEST_LOG} bytes" if printed.stat().st_size > LARGEST_LOG else ""

    def folder(self, task: Task) -> Path:
        """Where it works. ValueError: outside of the workspace, or a clone that would be all of it."""
        workspace = self.settings.workspace.resolve()
        folder = (workspace / task.folder).resolve()
        if not folder.is_relative_to(workspace):
            raise ValueError(f"{task.folder} lies outside of the workspace")
        if task.clone and folder == workspace:
            raise ValueError("a clone needs a folder of its own: --in NAME")
        return folder

    def cloning(self, task: Task) -> Path:
        """Where its clone is made: an interrupted one must not look whole. The watcher passes `.cache` over."""
        return self.settings.workspace / ".cache" / task.id

    def clone(self, task: Task, folder: Path, files: Files, until: Callable[[], str]) -> child.Ended:
        """ValueError: git could not. What it has begun is removed by who called."""
        new = self.cloning(task)
        new.parent.mkdir(exist_ok=True)
        command = ["git", "clone", "--quiet", "--", task.clone, str(new)]
        ended = child.run(command, self.settings.workspace, self.environment(task), files, until)
        if ended.why:
            return ended
        if ended.code:
            raise ValueError(f"git clone: {files[2].read_text(errors='replace').strip()[:500]}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        new.rename(folder)
        return ended

    def command(self, task: Task) -> list[str]:
        return [
            self.settings.claude, "--print", "--output-format", "stream-json", "--verbose",
            "--model", task.model or self.settings.model, "--permission-mode", "acceptEdits",
            "--allowedTools", self.settings.tools, "--max-budget-usd", f"{task.usd:.2f}", "--no-session-persistence",
            "--mcp-config", str(self.settings.servers), "--strict-mcp-config",
        ]  # fmt: skip

    def environment(self, task: Task) -> dict[str, str]:
        """A task knows nothing of the one before: settings and temporary files are its own, and go with it."""
        settings = self.settings
        return {
            **passed_on(settings.data / "home"),
            **of_claude(settings.key, settings.token, settings.url, settings.own / task.id),
            **({"GIT_SSH_COMMAND": self.ssh} if self.ssh else {}),
            **{f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in _WHO.items()},
            "GIT_TERMINAL_PROMPT": "0",
        }

    def end(self, task: Task) -> None:
        self.store.save(task)
        log("ends", task=task.id, status=task.status, usd=task.spent, text=task.text[:200])


_WHO = {"NAME": "claude-runtime", "EMAIL": "claude-runtime@localhost"}


def keep_key(settings: Settings) -> str:
    """How git speaks SSH: with the one key, to the servers that it may be shown to; empty without a key. ssh wants it
    in a file of its own mode, which is written before any task can read it."""
    if not settings.deploy_key:
        return ""
    own = settings.own
    for name, text in (("key", settings.deploy_key), ("known_hosts", settings.known_hosts)):
        (own / name).touch(mode=0o600)
        (own / name).write_text(text + "\n")
    return (
        f"ssh -F /dev/null -i {own}/key -o IdentitiesOnly=yes -o BatchMode=yes"
        f" -o StrictHostKeyChecking=yes -o UserKnownHostsFile={own}/known_hosts"
    )


def log(message: str, **fields: object) -> None:
    """One JSON object a line on stdout."""
    line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "message": message, **fields}
    print(json.dumps(line), flush=True)
