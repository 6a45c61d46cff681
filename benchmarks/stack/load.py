"""What all workers share: the stack, the moment to stop, and what they have to tell."""

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
    """`counts`: what was done, `times`: seconds that each took, `problems`: what should not have happened."""

    stack: Blackbox
    documents: list[Document]
    stop: threading.Event = field(default_factory=threading.Event)
    counts: Counter[str] = field(default_factory=Counter)
    times: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    problems: list[str] = field(default_factory=list)
    ingested: threading.Event = field(default_factory=threading.Event)
    """All documents have been taken in once."""

    def pause(self, seconds: float) -> bool:
        """Wait; true where it is time to stop."""
        return self.stop.wait(seconds)

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, patience: float = 30.0) -> Any:
        """brain-api's answer; None, and a problem noted, where it is not 200 or comes after `patience` seconds."""
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
    """`needs`: the services without which it does not begin."""

    name: str
    needs: tuple[str, ...]
    run: Work


@contextmanager
def working(load: Load, workers: list[Worker]) -> Any:
    """All at once, each in a thread; told to stop, and waited for, in the end."""
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
    """A worker that breaks is told of; the others go on."""
    try:
        worker.run(load)
    except Exception as error:
        load.problems.append(f"{worker.name}: {type(error).__name__}: {error}"[:500])
