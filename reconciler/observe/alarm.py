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
"""Seconds between a change and our look: git writes a ref by renaming its lock file over it."""


class AgentAlarm(FileSystemEventHandler):
    """A timer with triggers. A trigger only shortens a wait, so a lost or forged trigger does no harm.

    `moved` is called, in another thread, when `branch` of a repository on this machine has moved. `seen` is called
    twice a second while it waits.
    """

    def __init__(
        self,
        stop: threading.Event,
        url: str,
        files: Sequence[str],
        requests: Path,
        branch: str = "",
        moved: Callable[[], None] = lambda: None,
        seen: Callable[[], None] = lambda: None,
    ) -> None:
        self._stop, self._ref, self._moved, self._seen = stop, f"/refs/heads/{branch}", moved, seen
        self._changed, self._pushed = threading.Event(), threading.Event()
        self._observer = Observer()
        self._folders = {*_ref_folders(Path(url)), *(Path(item).parent for item in files), requests}
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
                self._stop.wait(SETTLE)
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
        elif event.event_type not in ("opened", "closed_no_write") and (path in self._files or "/refs" in path):
            self._push()
            if path.endswith(self._ref):
                self._moved()

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


def _ref_folders(repository: Path) -> list[Path]:
    """Folders with the branches of a repository on this machine; none for a remote one."""
    found = [folder / "refs" for folder in (repository, repository / ".git")]
    return [folder for folder in found if repository.is_absolute() and folder.is_dir()]
