"""Wakes the agent early: at a push to a local repository, a changed config, a request, SIGHUP, or the end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from reconciler.log import logger

WAKE = "look"
"""Name of a file in the folder of requests: when another process puts it there, the agent fetches at once."""

SETTLE = 0.05
"""Seconds between a change and our look, so that several changes are one look. A moved branch is looked at without a
pause: git has renamed its lock file over the ref by then."""

INCOMING = "incoming-"
"""Part of the name of the folder below objects/ that git makes when a push begins to arrive."""


class AgentAlarm(FileSystemEventHandler):
    """A timer with triggers. A trigger only shortens a wait, so a lost or forged trigger does no harm.

    `expected` is called, in another thread, when a push to a repository on this machine begins to arrive, and when its
    `branch` has moved. `seen` is called twice a second while it waits.
    """

    def __init__(
        self,
        stop: threading.Event,
        url: str,
        files: Sequence[str],
        requests: Path,
        branch: str = "",
        expected: Callable[[], None] = lambda: None,
        seen: Callable[[], None] = lambda: None,
    ) -> None:
        self._stop, self._ref, self._expected, self._seen = stop, f"/refs/heads/{branch}", expected, seen
        self._changed, self._pushed, self._moved = threading.Event(), threading.Event(), threading.Event()
        self._observer = Observer()
        self._objects = _git_folders(Path(url), "objects")
        self._folders = {*_git_folders(Path(url), "refs"), *self._objects, *(Path(item).parent for item in files)}
        self._folders.add(requests)
        self._requests = requests
        self._files = set(files)

    @property
    def ended(self) -> bool:
        return self._stop.is_set()

    def wait(self, seconds: float) -> None:
        """Return after `seconds`, or at a trigger, or when the process must end."""
        left = seconds
        while left > 0 and not self._stop.is_set():
            self._seen()
            # A signal's handler runs between two short waits; it could not run during a single long one.
            if self._changed.wait(min(left, 0.5)):
                self._changed.clear()
                self._pushed.clear()
                if not self._moved.is_set():
                    self._stop.wait(SETTLE)
                self._moved.clear()
                return
            left -= 0.5

    def __enter__(self) -> AgentAlarm:
        for folder in self._folders:
            try:
                self._observer.schedule(self, str(folder), recursive=folder.name == "refs")
            except OSError as error:
                logger.debug("{} is not watched: {}", folder, error)
        self._observer.start()
        signal.signal(signal.SIGHUP, self._hang_up)
        return self

    def __exit__(self, *_: object) -> None:
        self._observer.stop()
        self._observer.join()

    def on_any_event(self, event: FileSystemEvent) -> None:
        path = str(event.dest_path or event.src_path)
        if Path(path).parent == self._requests:
            # Files that we remove or rename ourselves must not wake us.
            if path.endswith(".json") and event.event_type in ("created", "moved"):
                self._changed.set()
            elif Path(path).name == WAKE and event.event_type in ("created", "moved"):
                self._push()
        elif Path(path).parent in self._objects:
            if event.event_type == "created" and INCOMING in Path(path).name:
                self._expected()
        elif event.event_type not in ("opened", "closed_no_write") and (path in self._files or _is_ref(event, path)):
            moved = event.event_type == "moved" and path.endswith(self._ref)
            if moved:
                self._moved.set()
            self._push()
            if moved:
                self._expected()

    def ring(self) -> None:
        """End the present wait: something may have happened."""
        self._changed.set()

    def pushed(self) -> bool:
        """Whether the branch may have a newer commit, since the last call or the last wait."""
        news = self._pushed.is_set()
        self._pushed.clear()
        return news

    def _push(self) -> None:
        self._pushed.set()
        self._changed.set()

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        self._push()


def _git_folders(repository: Path, name: str) -> set[Path]:
    """The folders of this name in a repository on this machine; none for a remote one."""
    found = [folder / name for folder in (repository, repository / ".git")]
    return {folder for folder in found if repository.is_absolute() and folder.is_dir()}


def _is_ref(event: FileSystemEvent, path: str) -> bool:
    """Whether a ref may have changed: neither its lock file nor the folder that holds both."""
    told = event.is_directory and event.event_type == "modified"
    return "/refs" in path and not path.endswith(".lock") and not told
