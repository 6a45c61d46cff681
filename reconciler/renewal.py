"""Restarts the agent in place after work: the same process with the same lock, without the memory that the work took.

Reading, rendering and judging a commit needs libraries of 15 MB for seconds a day, and Python gives no memory back. A
restart is possible at any moment and frees this memory.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import MutableMapping
from dataclasses import asdict

from reconciler import __version__
from reconciler.log import logger
from reconciler.settings import Settings, stored_settings
from reconciler.signals import ENDING
from reconciler.values import dataclass

VARIABLE = "RECONCILER_CONTINUES"
"""Two descriptors: the held lock, and a file with the other values."""


@dataclass(frozen=True, slots=True)
class Continued:
    """State of the process before the restart. `settings` None: another version wrote them, so the config must be
    read."""

    lock: int
    started_at: float
    settings: Settings | None


def start_anew(settings: Settings, lock: int, started_at: float, stop: threading.Event) -> None:
    """Replace the program by itself; returns only if that fails, or `stop` is set. One thread stays alive.

    The agent config is not read again; a change in it has an effect after the next ordinary start.
    """
    with tempfile.TemporaryFile() as file:
        known = {"version": __version__, "startedAt": started_at, "settings": asdict(settings)}
        file.write(json.dumps(known).encode())
        file.seek(0)
        # From here on a signal waits for the new program. SIGHUP may be lost: it asks for a look, and the new program
        # begins with one.
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        hang_up = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            if not stop.is_set():
                _replace(lock, file.fileno())
        except OSError as error:
            logger.debug("the agent goes on as it is: {}", error)
        finally:
            os.set_inheritable(lock, False)
            signal.signal(signal.SIGHUP, hang_up)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


def taken_over(environ: MutableMapping[str, str]) -> Continued | None:
    """The state from before the restart; None for an ordinary start. It is removed from `environ`."""
    passed = environ.pop(VARIABLE, None)
    if passed is None:
        return None
    lock, file = (int(word) for word in passed.split())
    with open(file, "rb") as known:
        told = json.load(known)
    settings = stored_settings(told["settings"]) if told["version"] == __version__ else None
    return Continued(lock, told["startedAt"], settings)


def _replace(*kept: int) -> None:
    for descriptor in kept:
        os.set_inheritable(descriptor, True)
    environment = {**os.environ, VARIABLE: " ".join(map(str, kept))}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606
