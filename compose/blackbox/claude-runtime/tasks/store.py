"""The queue on its volume: one folder per task. Files and folders appear only when they are complete."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from pathlib import Path

from tasks.task import ENDED, QUEUED, Task, from_document

LARGEST = 1024 * 1024
"""Most bytes of a prompt."""
MANY = 200
"""Most tasks that may wait."""


class Refused(Exception):
    """The request is wrong. The text says why."""


class Store:
    """Only the worker process writes a submitted task. Other processes cancel it by a file in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def submit(self, prompt: str, task: Task) -> Task:
        """Refused if the prompt is empty or too long, or if too many tasks wait. The task is on the disk on return."""
        if not prompt.strip():
            raise Refused("an empty prompt is none: give one as an argument or on stdin")
        if len(prompt.encode()) > LARGEST:
            raise Refused(f"a prompt may have {LARGEST} bytes; put more into a file of the workspace")
        if sum(item.status == QUEUED for item in self.all()) >= MANY:
            raise Refused(f"{MANY} tasks wait already: `task list`, `task cancel`")
        new = self.folder / f".{task.id}"
        new.mkdir()
        _write(new / "prompt", prompt)
        _write(new / "task.json", json.dumps(task.document))
        new.rename(self.folder / task.id)
        _sync(self.folder)
        return task

    def all(self) -> list[Task]:
        """All tasks, oldest first. Tasks that cannot be read are left out."""
        found = (self._read(path) for path in self.folder.glob("[!.]*/task.json"))
        return sorted((task for task in found if task is not None), key=lambda task: (task.created, task.id))

    def find(self, id: str) -> Task:
        """The task with this id; `last`: the newest one. Refused if there is none."""
        tasks = self.all()
        if id == "last" and tasks:
            return tasks[-1]
        for task in tasks:
            if task.id == id:
                return task
        raise Refused(f"there is no task {id}; `task list` names them")

    def save(self, task: Task) -> None:
        path = self.path(task, "task.json")
        new = path.with_suffix(".new")
        _write(new, json.dumps(task.document))
        new.replace(path)

    def cancel(self, task: Task) -> None:
        self.path(task, "cancel").touch()

    def cancelled(self, task: Task) -> bool:
        return self.path(task, "cancel").exists()

    def path(self, task: Task, name: str) -> Path:
        return self.folder / task.id / name

    def prune(self, before: float) -> None:
        """Remove tasks that ended before this time (seconds since 1970), and the leftovers of killed submissions."""
        for task in self.all():
            if task.status in ENDED and task.ended < before:
                shutil.rmtree(self.folder / task.id)
        for path in self.folder.glob(".*"):
            if path.stat().st_mtime < time.time() - 3600:
                shutil.rmtree(path)

    def _read(self, path: Path) -> Task | None:
        try:
            return from_document(json.loads(path.read_text()))
        except (OSError, ValueError, KeyError, TypeError):
            return None


def new_id(now: float) -> str:
    """Ids sort by time, to the second."""
    return f"{time.strftime('%y%m%d-%H%M%S', time.gmtime(now))}-{secrets.token_hex(2)}"


def _write(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
