"""What all workers share: the stack, the signal to stop, and their results."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.stack.corpus import Document
from tests.stack.blackbox import Blackbox


@dataclass
class Load:
    """`counts`: how often each action was done. `times`: the seconds of each. `problems`: unexpected events."""

    stack: Blackbox
    documents: list[Document]
    stop: threading.Event = field(default_factory=threading.Event)
    counts: Counter[str] = field(default_factory=Counter)
    times: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    problems: list[str] = field(default_factory=list)
    ingested: threading.Event = field(default_factory=threading.Event)
    """Set once all documents have been ingested."""

    def pause(self, seconds: float) -> bool:
        """Wait; returns whether it is time to stop."""
        return self.stop.wait(seconds)

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, patience: float = 30.0) -> Any:
        """brain-api's answer. If it is not 200 or takes over `patience` seconds: None, and a problem is recorded."""
        try:
            status, document = self.stack.ask(method, path, body, patience)
        except (OSError, ValueError) as error:
            self.problems.append(f"{method} {path}: {type(error).__name__}: {error}")
            return None
        if status != 200:
            self.problems.append(f"{method} {path}: {status} {document}"[:300])
            return None
        return document


Work = Callable[[Load], None]


@dataclass(frozen=True)
class Worker:
    """`needs`: the services that must run before the worker starts."""

    name: str
    needs: tuple[str, ...]
    run: Work


@contextmanager
def working(load: Load, workers: list[Worker]) -> Any:
    """The workers run during the block, each in a thread. At the end they are stopped and joined."""
    threads = [threading.Thread(target=_run, args=(load, worker), name=worker.name) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        load.stop.set()
        for thread in threads:
            thread.join()


def _run(load: Load, worker: Worker) -> None:
    """Run a worker. If it fails, a problem is recorded, and the other workers continue."""
    try:
        worker.run(load)
    except Exception as error:
        load.problems.append(f"{worker.name}: {type(error).__name__}: {error}"[:500])
