"""Lets programs read files only below given paths, by the kernel's Landlock (Linux 5.13 and later).

A thread confines itself for good and then starts the program, which inherits this. All other threads stay as they are.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""Numbers of the system calls, the same on every processor."""

_READ_FILE, _BENEATH, _NO_NEW_PRIVS = 1 << 2, 1, 38

SYSTEM = (
    "/usr",
    "/bin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/nix/store",
    "/gnu/store",
    "/dev/null",
)
"""What programs need to start: themselves and libraries."""

Start = Callable[[], "subprocess.Popen[bytes]"]


class Confined:
    """`start`, called in a thread that can read files only at and below `paths`.

    The thread lives until `release`, because the kernel kills the program when the thread that started it ends
    (`setpriv --pdeathsig`). Where the kernel cannot confine, the program is started without limits.
    """

    def __init__(self, start: Start, paths: Iterable[str]) -> None:
        self._start, self._paths = start, (*SYSTEM, *paths)
        self._begun, self._released = threading.Event(), threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._error: BaseException | None = None
        threading.Thread(target=self._live, name="confined", daemon=True).start()

    def process(self) -> subprocess.Popen[bytes]:
        """The started program. Raises what `start` raised."""
        self._begun.wait()
        if self._process is None:
            raise self._error or RuntimeError("the thread has ended")
        return self._process

    def release(self) -> None:
        self._released.set()

    def _live(self) -> None:
        try:
            confine(self._paths)
            self._process = self._start()
        except BaseException as error:
            self._error = error
            self._released.set()
        self._begun.set()
        self._released.wait()


def can_confine() -> bool:
    """Whether this system can do it."""
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(confine(())))
    thread.start()
    thread.join()
    return answers == [True]


def confine(paths: Iterable[str]) -> bool:
    """Confine the calling thread and all that it starts. Paths that do not exist are left out. False: this system
    cannot confine, or does not let us."""
    if sys.platform != "linux":
        return False
    try:
        import ctypes

        libc = ctypes.CDLL(None)
    except (ImportError, MemoryError, OSError):  # a hardened system may forbid what ctypes needs
        return False
    handled = struct.pack("=Q", _READ_FILE)
    ruleset = libc.syscall(_CREATE_RULESET, handled, len(handled), 0)
    if ruleset < 0:
        return False
    try:
        for path in paths:
            _allow(libc, ruleset, path)
        return bool(libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 and libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _allow(libc: object, ruleset: int, path: str) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        libc.syscall(_ADD_RULE, ruleset, _BENEATH, struct.pack("=Qi", _READ_FILE, place), 0)  # type: ignore[attr-defined]
    finally:
        os.close(place)
