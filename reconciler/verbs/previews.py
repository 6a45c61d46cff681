"""Starts `preview` beside an agent at rest, and ends it before the agent works on the machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence

from reconciler import process
from reconciler.errors import ReconcilerError
from reconciler.log import logger
from reconciler.waiting import listening

EVERY = 30.0
"""Seconds between the end of one look at the pull requests and the next one."""

LONGEST = 150.0
"""Seconds that one look may take; then it is killed."""

PATIENCE = 30.0
"""Seconds that one look may take if `once` waits for it."""

SLOWEST = 600.0
"""Longest pause in seconds between two looks while they fail."""


class _Unwanted(Exception):
    """Ends the wait, which kills the process."""


class Previews:
    """At most one process, with a thread that waits for it. `argv`: the command. `ending`: whether the agent was asked
    to end.

    Only the acting thread may call the methods.
    """

    def __init__(
        self, argv: Sequence[str], environ: Mapping[str, str], monotonic: Callable[[], float],
        ending: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        self._argv, self._environ, self._monotonic, self._ending = argv, environ, monotonic, ending
        self._thread: threading.Thread | None = None
        self._unwanted = threading.Event()
        self._next, self._faults, self._told = 0.0, 0, ""

    @property
    def busy(self) -> bool:
        """Whether the process runs."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def due_in(self) -> float:
        """Seconds until the next look."""
        return max(0.0, self._next - self._monotonic())

    def start(self) -> None:
        """Begin a look, if one is due and none is under way."""
        if self.busy or self.due_in > 0:
            return
        self._unwanted.clear()
        self._thread = threading.Thread(target=self._look, args=(LONGEST,), daemon=True, name="preview")
        self._thread.start()

    def stop(self) -> None:
        """Ask the process to end, without waiting. The next look is due at once."""
        self._unwanted.set()
        self._next = 0.0

    def look(self) -> None:
        """Take one look and wait for its end, for PATIENCE at most."""
        self._unwanted.clear()
        self._look(PATIENCE)

    def _look(self, longest: float) -> None:
        """Run one look until it ends or is stopped. `longest`: seconds that it may take."""
        try:
            with listening(self._attend):
                done = process.run(self._argv, env=self._environ, timeout=longest, limit=1 << 20)
        except _Unwanted:
            return
        except ReconcilerError as error:
            self._failed(f"{error.message}. {error.hint}")
        else:
            document = _document(done.stdout)
            if done.returncode in (0, 1) and document.get("kind") == "Preview":
                self._faults, self._told = 0, ""
            else:
                message, hint = document.get("message"), document.get("hint")
                self._failed(f"{message}. {hint}" if message else f"exit code {done.returncode}")
        self._next = self._monotonic() + min(EVERY * 2.0 ** min(self._faults, 8), SLOWEST)

    def _attend(self) -> None:
        if self._unwanted.is_set() or self._ending():
            raise _Unwanted

    def _failed(self, told: str) -> None:
        """Log a fault; at a low level if it is the same as before. Faults of the forge are shown by `status`."""
        self._faults += 1
        logger.log("DEBUG" if told == self._told else "WARNING", "pull requests cannot be judged: {}", told)
        self._told = told


def _document(data: bytes) -> Mapping[str, object]:
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
