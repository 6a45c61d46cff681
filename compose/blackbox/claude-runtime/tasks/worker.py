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
"""Bytes at the end of a log that are searched for the result."""
CACHE = "home/.cache/claude-cli-nodejs"
"""Folder of Claude Code's logs of MCP sessions. Claude Code never removes them, and uses this folder always."""
HOUR = 3600.0
TROUBLE = 5.0
"""Seconds until the next try after an error of the machine, such as a full disk."""


class Worker:
    """`clock` gives seconds since 1970. When `stopping` is set, all running tasks and the worker end."""

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
                # Mostly a full disk: a restart would not help.
                log("cannot go on", error=str(error))
                self.stopping.wait(TROUBLE)
        for thread in self.running.values():
            thread.join()

    def recover(self, task: Task) -> None:
        """Handle a task that no thread runs any more: queue it again, or store it as interrupted."""
        if task.status == RUNNING:
            task = replace(task, status=INTERRUPTED, ended=self.clock(), text="interrupted by a restart")
        again = task.again(self.settings.attempts)
        shutil.rmtree(self.cloning(task), ignore_errors=True)
        self.store.save(again)
        log("was interrupted", task=task.id, status=again.status)

    def step(self) -> None:
        """Start the tasks that may start. Called twice a second."""
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
        """Whether there is a key. Without a key tasks wait, so that they run once a key is given."""
        return bool(self.settings.key or self.settings.token)

    def work(self, task: Task) -> None:
        try:
            task = task.begun(self.clock())
            self.store.save(task)
            log("begins", task=task.id, attempt=task.attempts)
            task = self.tried(task)
            self.totals.add(task)
            # When the worker ends, the next worker queues the task again.
            self.end(task if self.stopping.is_set() else task.again(self.settings.attempts))
        except OSError as error:
            # The task on the disk still is queued or running. In both cases a later step takes it up.
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
        """Why a running task has to end now, or ''."""
        if self.stopping.is_set():
            return INTERRUPTED
        if self.store.cancelled(task):
            return CANCELLED
        if self.clock() - task.started > 60 * task.minutes:
            return TIMED_OUT
        return f"its log has {LARGEST_LOG} bytes" if printed.stat().st_size > LARGEST_LOG else ""

    def folder(self, task: Task) -> Path:
        """The task's folder. ValueError if it is outside of the workspace, or a clone would be the whole workspace."""
        workspace = self.settings.workspace.resolve()
        folder = (workspace / task.folder).resolve()
        if not folder.is_relative_to(workspace):
            raise ValueError(f"{task.folder} lies outside of the workspace")
        if task.clone and folder == workspace:
            raise ValueError("a clone needs a folder of its own: --in NAME")
        return folder

    def cloning(self, task: Task) -> Path:
        """Temporary folder of a clone, so that an interrupted clone is not taken for a whole one. file-watcher ignores
        `.cache`."""
        return self.settings.workspace / ".cache" / task.id

    def clone(self, task: Task, folder: Path, files: Files, until: Callable[[], str]) -> child.Ended:
        """Clone the task's repository into `folder`. ValueError if git fails. The caller removes a partial clone."""
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
        """The environment of a task. Settings and temporary files belong to this task alone and are removed with it."""
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
    """The value of GIT_SSH_COMMAND: ssh with the deploy key, to known servers only. Empty without a key.

    ssh needs the key in a file with mode 0600. It is written once, before any task runs.
    """
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
    """Write one JSON object as a line to stdout."""
    line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "message": message, **fields}
    print(json.dumps(line), flush=True)
