"""The kernel's file events. They only trigger an earlier scan: shared folders of a Mac send few events, or none."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from watcher.ignoring import ignored_by_default

# Other kinds of events come from reading a file. They must not wake the watcher, which reads files itself.
CHANGES = {"created", "modified", "attrib", "moved", "deleted", "closed"}
_log = logging.getLogger(__name__)


class Hints(FileSystemEventHandler):
    """`wait` returns early when a file changes that is not ignored by default."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._woken = threading.Event()
        self.working = False
        self._observer = Observer()
        self._observer.daemon = True

    def start(self) -> None:
        """Start to receive events. If the kernel has no watches left, the watcher works without events."""
        try:
            self._observer.schedule(self, str(self._folder), recursive=True)
            self._observer.start()
            self.working = True
        except OSError as error:
            _log.warning("no events (%s): changes are found by looking every so often", error)

    def stop(self) -> None:
        if self.working:
            self._observer.stop()

    def wait(self, seconds: float) -> None:
        self._woken.wait(seconds)
        self._woken.clear()

    def dispatch(self, event: FileSystemEvent) -> None:
        if event.event_type in CHANGES and any(map(self._counts, (event.src_path, event.dest_path))):
            self._woken.set()

    def _counts(self, path: bytes | str) -> bool:
        text = path.decode("utf-8", "replace") if isinstance(path, bytes) else path
        inside = text.removeprefix(str(self._folder)).lstrip("/").partition("/")[2]
        *folders, name = inside.split("/")
        ignored = any(ignored_by_default(folder, folder=True) for folder in folders)
        return bool(name) and not ignored and not ignored_by_default(name, folder=False)
