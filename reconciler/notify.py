"""Tells systemd that the agent is ready and alive, and its status.

The protocol is a datagram of `NAME=value` lines to the socket in $NOTIFY_SOCKET (sd_notify(3)). Without that variable
nothing is sent.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

QUIET = 120.0
"""Seconds within which the loop's thread must have called `pulse`; else the service manager is not told that the agent
is alive. The thread calls it four times a second in every wait, and at each step.
"""


class ServiceManager:
    """`seen`: monotonic seconds at which the loop's thread was seen last."""

    def __init__(self, environ: Mapping[str, str], clock: Callable[[], float] = time.monotonic) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._clock, self.seen = clock, clock()
        self._status = ""

    def pulse(self) -> None:
        """Called by the loop's thread, and by nobody else."""
        self.seen = self._clock()

    def ready(self) -> None:
        """The agent holds its state folder and takes turns."""
        self._tell("READY=1")

    def alive(self) -> None:
        """Called by a timer. Sends nothing if the loop's thread was not seen for QUIET seconds."""
        if self._clock() - self.seen < QUIET:
            self._tell("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line, for `systemctl status`."""
        line = " ".join(text.split())
        if line != self._status:
            self._status = line
            self._tell(f"STATUS={line}")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def _tell(self, message: str) -> None:
        if self._address[:1] not in ("/", "@"):
            return
        target = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.setblocking(False)  # a service manager that does not read must not stop the agent
            channel.sendto(message.encode(errors="replace"), target)
