"""`python -m watcher` runs until SIGTERM, which ends it at once. Unacknowledged changes are sent at the next start."""

from __future__ import annotations

import logging
import signal
import sys
import time

from watcher.brain import Brain
from watcher.hints import Hints
from watcher.logs import set_up_logs
from watcher.metrics import Measured
from watcher.serving import serve
from watcher.settings import Settings
from watcher.state import State
from watcher.watching import Watcher

SHORTEST_WAIT = 0.5
"""Shortest time between two scans in seconds, however many events come."""


def main() -> None:
    set_up_logs()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    settings = Settings.from_environment()
    measured = Measured()
    serve(measured, settings.port)
    hints = Hints(settings.folder)
    hints.start()
    measured.gauges["watcher_events"] = int(hints.working)
    watcher = Watcher(settings, State(settings.state), Brain(settings.brain, settings.key), measured)
    logging.info("watching %s", settings.folder)
    while True:
        pause = watcher.turn()
        time.sleep(SHORTEST_WAIT)
        hints.wait(max(0.0, pause - SHORTEST_WAIT))


if __name__ == "__main__":
    main()
