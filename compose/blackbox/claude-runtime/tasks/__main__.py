"""The queue's worker, and what is asked of the queue."""

from __future__ import annotations

import argparse
import fcntl
import signal
import sys
import threading
from types import FrameType

from serving import serve

from tasks import commands
from tasks.settings import Settings
from tasks.store import Store
from tasks.worker import Worker, log


def work(settings: Settings) -> int:
    """Work until SIGTERM. Exit code 1 if another worker has this queue."""
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    store = Store(settings.tasks)
    with (settings.data / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another container works on this queue: one at a time", file=sys.stderr)
            return 1
        worker = Worker(settings, store, stopping)
        serve(settings.port, lambda: worker.totals.render(store.all(), worker.ready, worker.clock()))
        log("started", at_once=settings.at_once, key=worker.ready, metrics=settings.port)
        worker.run()
    return 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="task", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("work", help="the worker, until SIGTERM: what the container does")
    commands.add(verbs)
    given = parser.parse_args(arguments)
    settings = Settings.from_environment()
    return work(settings) if given.verb == "work" else commands.main(settings, given)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
