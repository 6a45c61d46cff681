"""A program on a terminal of 80 columns and 24 lines."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path


class Terminal:
    """`seen`: all bytes that the program has written since the last key."""

    def __init__(self, pid: int, number: int) -> None:
        self.pid, self._number, self.seen = pid, number, b""

    def read(self, seconds: float = 0.1) -> str:
        """What was seen so far, without the sequences that steer the terminal. Returns after `seconds`."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if select.select([self._number], [], [], left)[0]:
                try:
                    self.seen += os.read(self._number, 65536)
                except OSError:  # the program has ended
                    break
        return re.sub(r"\x1b(\[[0-9;?]*[a-zA-Z]|\(B)", "", self.seen.decode(errors="replace"))

    def wait_for(self, text: str, seconds: float = 60, every: float = 0.1) -> None:
        """Wait until one of the words in `text`, which `|` separates, was written."""
        until = time.monotonic() + seconds
        while not re.search("|".join(map(re.escape, text.split("|"))), self.read(every)):
            assert time.monotonic() < until, self.read()

    def press(self, keys: bytes) -> None:
        self.seen = b""
        os.write(self._number, keys)

    def end(self) -> int:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            self.read()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
        raise AssertionError("it does not end")

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._number)


@contextlib.contextmanager
def on_terminal(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Iterator[Terminal]:
    pid, number = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execvpe(command[0], list(command), environment)
    fcntl.ioctl(number, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    terminal = Terminal(pid, number)
    try:
        yield terminal
    finally:
        terminal.close()
