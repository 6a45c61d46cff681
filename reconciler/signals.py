"""SIGINT and SIGTERM: ask for a clean end, or end at once if there is nothing to clean up."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM)

INTERRUPTED = 143
"""The exit code of `errors.Interrupted`, whichever signal it was."""


TETHER: Mapping[signal.Signals, bytes] = {signal.SIGINT: b"\x03", signal.SIGTERM: b"\x0f"}
"""Bytes that a caller on another machine writes to our stdin instead of a signal, because ssh passes no signals."""


class Ended(BaseException):
    """A signal ended a command that changes nothing. No `except Exception` on the way may catch it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


class Signals:
    """The received signals. In a patient command, the first one sets `stop`."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._received: int | None = None
        self._patient = False

    def listen(self, patient: bool) -> None:
        """Handle signals from now on. `patient`: the first signal sets `stop`, and only the second one raises Ended."""
        self._patient = patient
        for number in ENDING:
            signal.signal(number, self._receive)
        # A process that has restarted itself has blocked them until now.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)

    @property
    def received(self) -> signal.Signals | None:
        """The first signal of a patient command."""
        return None if self._received is None else signal.Signals(self._received)

    def tether(self) -> None:
        """Treat stdin as the connection to a caller on another machine: its bytes are signals, its end means that the
        caller is gone."""
        threading.Thread(target=_hear, daemon=True, name="tether").start()

    def exit_code(self, code: int) -> int:
        """128 + signal instead of INTERRUPTED; any other code is the command's own."""
        return 128 + self._received if self._received is not None and code == INTERRUPTED else code

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if not self._patient or self._received is not None:
            raise Ended(number)
        self._received = number
        self.stop.set()


def _hear() -> None:
    numbers = {byte: number for number, byte in TETHER.items()}
    while True:
        try:
            byte = os.read(0, 1)
        except OSError:
            byte = b""
        os.kill(os.getpid(), numbers.get(byte, signal.SIGTERM))
        if not byte:
            return
