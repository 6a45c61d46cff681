"""The lock on the state folder: only its holder may act and append; other processes read or leave requests."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from reconciler.errors import Locked, Transient, Usage
from reconciler.model.outcome import Reason

_TRIES = 10
_PAUSE = 0.02
"""Seconds between tries: together longer than any check by `holder`, shorter than a person notices."""


class StateLock:
    """Holds <state>/lock from `acquire` to `release`, or to the end of the process.

    Makes the folder (mode 0700) if there is none. `inherited`: the descriptor with which this process has held it since
    before it started anew.
    """

    def __init__(self, state: Path, inherited: int | None = None) -> None:
        self._state, self._inherited = state, inherited
        self._descriptor: int | None = None

    @property
    def descriptor(self) -> int:
        """The descriptor that holds the lock; available from `acquire` to `release`."""
        if self._descriptor is None:
            raise AssertionError("the lock is not held")
        return self._descriptor

    def acquire(self) -> None:
        """Locked, with the holder's pid, if another process has it. Transient if the folder cannot be used, Usage if it
        is open to others and we may not change that."""
        try:
            self._close_to_others()
            for attempt in range(_TRIES):
                if self._try():
                    return
                time.sleep(_PAUSE if attempt < _TRIES - 1 else 0)
        except OSError as error:
            raise _unusable(self._state, error) from error
        raise _locked(self._state)

    def release(self) -> None:
        """Release it; nothing happens if it is not held."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> StateLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _close_to_others(self) -> None:
        self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._state.stat().st_mode & 0o077:
            return
        # A folder full of other things may be /var/lib by mistake: closing it for others would break the machine.
        if any(self._state.iterdir()) and not (self._state / "lock").exists():
            raise Usage(
                Reason.DISK_FAILED,
                f"the state folder {self._state} holds other files and is open to other users",
                f"choose an empty folder, or close this one: chmod 700 {self._state}",
            )
        self._state.chmod(0o700)

    def _try(self) -> bool:
        path = self._state / "lock"
        inherited, self._inherited = self._inherited, None
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600) if inherited is None else inherited
        try:
            os.set_inheritable(descriptor, False)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is_at(descriptor, path):
                raise BlockingIOError
            if inherited is None:
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True


def holder(state: Path) -> int | None:
    """The pid of the process that holds the folder; None if there is none. Changes nothing. Transient if it
    cannot be read.

    0 if it is held and the pid cannot be read.
    """
    try:
        descriptor = os.open(state / "lock", os.O_RDONLY)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(state, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _pid(descriptor)
    finally:
        os.close(descriptor)
    return None


def _pid(descriptor: int) -> int:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else 0


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the locked file is the one that other processes find."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    return False


def _unusable(state: Path, error: OSError) -> Transient:
    return Transient(
        Reason.DISK_FAILED,
        f"the state folder {state} cannot be used: {error.strerror}",
        "see its owner, its mode and the disk's free space, or choose another with --state or in the agent config",
    )


def _locked(state: Path) -> Locked:
    pid = holder(state)
    who = f"process {pid}" if pid else "another process"
    return Locked(
        Reason.LOCKED,
        f"the state folder {state} is held by {who}",
        "an agent is running: ask it with `reconciler status`, or end it first",
    )
