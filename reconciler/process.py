"""The only module that starts other programs.

With an argument list, exactly the given environment, a time limit after which the whole process group is killed, and
output that cannot fill the memory. Each wait can be ended by `waiting.attend`, which kills the program.

Safe to be used from several threads at once.
"""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import IO

from reconciler.confine import Confined
from reconciler.errors import Transient
from reconciler.model.outcome import Reason
from reconciler.values import dataclass
from reconciler.waiting import LOOK, attend

OUTPUT_LIMIT = 16 << 20
"""Bytes kept of each stream, unless the caller says otherwise."""

_CHUNK = 1 << 16
_LOOK = 0.05
"""Seconds between checks whether the program has ended while another process still holds its output open."""
_DRAIN = 1.0
"""Seconds for output that was written before the program's end to arrive."""


@dataclass(frozen=True, slots=True)
class Completed:
    """The end of a program. `returncode` is negative if a signal ended it.

    `cut`: it wrote more than the limit. Of stdout the beginning is kept, of stderr the end (errors). `seconds`:
    processor time of it and of the children that it waited for.
    """

    returncode: int
    stdout: bytes
    stderr: bytes
    cut: bool = False
    seconds: float = field(default=0.0, compare=False)


class ProcessTimeout(Transient):
    """The program was killed because its time was over. `details` has its last lines on stderr.

    `seconds`: processor time that it used until then.
    """

    seconds = 0.0


class ProcessMissing(Transient):
    """The program cannot be started: it is not installed, or may not be executed."""


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    timeout: float,
    work: int | None = None,
    largest: int | None = None,
    cwd: Path | str | None = None,
    stdin: bytes | None = None,
    limit: int = OUTPUT_LIMIT,
    sink: Callable[[bytes], object] | None = None,
    kill_when_cut: bool = False,
    reason: Reason = Reason.ENGINE_UNAVAILABLE,
    heard: Callable[[], None] = lambda: None,
    passed: Sequence[int] = (),
) -> Completed:
    """Run a program to its end (see `begin` and `Running.finish`). Without `stdin` it reads from /dev/null."""
    begun = begin(
        argv, env=env, work=work, largest=largest, cwd=cwd, fed=stdin is not None, reason=reason, passed=passed
    )
    return begun.finish(timeout, stdin=stdin, limit=limit, sink=sink, kill_when_cut=kill_when_cut, heard=heard)


def begin(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    work: int | None = None,
    largest: int | None = None,
    cwd: Path | str | None = None,
    fed: bool = False,
    reason: Reason = Reason.ENGINE_UNAVAILABLE,
    passed: Sequence[int] = (),
    readable: Sequence[str] | None = None,
) -> Running:
    """Start a program, so that several can run at the same time. Each must be finished or killed.

    `argv[0]` is looked up in `env`'s PATH. `work` in seconds of processor time, after which Linux kills it; `largest`:
    bytes of any file that it writes, likewise. `fed`: it gets stdin. `passed`: descriptors that it inherits. Its whole
    process group ends with it. On Linux it also ends when we are killed. `readable`: it can read only itself,
    libraries, and files at and below these paths, where the kernel can ensure that. Raises ProcessMissing with the
    given `reason`.
    """
    program = _find(argv[0], env, reason)
    start = functools.partial(_start, [*_tether(), program, *argv[1:]], env, cwd, fed, passed)
    confined = None if readable is None else Confined(start, [os.path.realpath(program), *readable])
    try:
        process = start() if confined is None else confined.process()
    except OSError as error:
        raise ProcessMissing(
            reason,
            f"cannot start {argv[0]}: {error.strerror}",
            "see whether the folder it starts in exists and the machine has memory and files left",
        ) from error
    if work is not None:
        _bound(process, resource.RLIMIT_CPU, work)
    if largest is not None:
        _bound(process, resource.RLIMIT_FSIZE, largest)
    return Running(argv[0], process, reason, confined)


class Running:
    """A program that `begin` has started. Nothing reads its output before `finish`."""

    def __init__(
        self, name: str, process: subprocess.Popen[bytes], reason: Reason, confined: Confined | None = None
    ) -> None:
        self._name, self._process, self._reason, self._confined = name, process, reason, confined

    def finish(
        self,
        timeout: float,
        *,
        stdin: bytes | None = None,
        limit: int = OUTPUT_LIMIT,
        sink: Callable[[bytes], object] | None = None,
        kill_when_cut: bool = False,
        heard: Callable[[], None] = lambda: None,
    ) -> Completed:
        """Wait for its end, `timeout` seconds from now at most. The caller judges the return code.

        `limit` in bytes for each stream; more is dropped, or with `kill_when_cut` ends the program. `sink` gets its
        stdout as it comes, and none of it is kept. `heard` is called whenever it writes. Raises ProcessTimeout with the
        reason given to `begin`, and whatever `waiting.attend` raises.
        """
        deadline = time.monotonic() + timeout
        child = _Child(self._process, stdin, limit, sink, kill_when_cut, heard)
        try:
            in_time = child.converse(deadline)
        finally:
            child.kill()
            self._release()
        if not in_time:
            late = ProcessTimeout(
                self._reason,
                f"{self._name} did not end within {timeout:g} s and was killed",
                "it is tried again later; if this repeats, see what the machine or the network waits for",
                child.last_errors(),
            )
            late.seconds = child.seconds
            raise late
        return child.completed()

    def kill(self) -> None:
        """End it, if it has not been finished."""
        if self._process.returncode is None:
            _Child(self._process, None, 0, None, False, lambda: None).kill()
        self._release()

    def _release(self) -> None:
        if self._confined is not None:
            self._confined.release()


def _find(program: str, env: Mapping[str, str], reason: Reason) -> str:
    found = shutil.which(program, path=env.get("PATH", os.defpath))
    if found is None:
        raise ProcessMissing(
            reason,
            f"the program {program} is not there or may not be executed",
            f"install {program} or fix PATH",
        )
    return found


@functools.cache
def _tether() -> tuple[str, ...]:
    """The prefix that lets the kernel kill the program when we end, so that none is left beside our successor.

    A separate program, because a `preexec_fn` may deadlock in a process with threads.
    """
    setpriv = shutil.which("setpriv", path=os.defpath) if sys.platform == "linux" else None
    if setpriv is None:
        return ()
    prefix = (setpriv, "--pdeathsig", "KILL")
    understood = subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode == 0
    return prefix if understood else ()


def _bound(process: subprocess.Popen[bytes], what: int, most: int) -> None:
    """Set a resource limit of the program, which its children inherit. Possible on Linux only; elsewhere only the time
    limit holds."""
    if sys.platform == "linux":
        with contextlib.suppress(ProcessLookupError, PermissionError, ValueError):
            given = [limit for limit in resource.prlimit(process.pid, what) if limit != resource.RLIM_INFINITY]
            resource.prlimit(process.pid, what, (min([most, *given]), min([most, *given])))


def _start(
    argv: Sequence[str], env: Mapping[str, str], cwd: Path | str | None, feed: bool, passed: Sequence[int]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv,
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        pass_fds=passed,
        bufsize=0,
    )


class _Child:
    """The communication with one running program."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        stdin: bytes | None,
        limit: int,
        sink: Callable[[bytes], object] | None,
        kill_when_cut: bool,
        heard: Callable[[], None],
    ) -> None:
        self._process, self._limit, self._kill_when_cut, self._heard = process, limit, kill_when_cut, heard
        self._feed = memoryview(stdin or b"")
        self._stdout, self._stderr = bytearray(), bytearray()
        self._keep = sink or self._stdout.extend
        self._room = limit
        self._cut = False
        self.seconds = 0.0
        self._attend_at = time.monotonic() + LOOK
        self._selector = selectors.DefaultSelector()
        self._listen(process.stdout, selectors.EVENT_READ, self._read_stdout)
        self._listen(process.stderr, selectors.EVENT_READ, self._read_stderr)
        self._listen(process.stdin, selectors.EVENT_WRITE, self._write_stdin)

    def converse(self, deadline: float) -> bool:
        """Write its input and read its output until it has ended. False: it had not ended at the deadline."""
        while self._selector.get_map() and not self._ended():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            self._turn(min(remaining, _LOOK))
            if self._cut and self._kill_when_cut:
                return True
            self._listen_to_others()
        pause = _LOOK / 256  # most programs end as soon as they have closed their output
        while not self._ended():
            if time.monotonic() >= deadline:
                return False
            time.sleep(pause)
            pause = min(2 * pause, _LOOK / 10)
            self._listen_to_others()
        self._kill_group()
        self._drain()
        return True

    def _listen_to_others(self) -> None:
        """Ask whether the wait must end. If this raises, the program is killed."""
        if time.monotonic() >= self._attend_at:
            attend()
            self._attend_at = time.monotonic() + LOOK

    def kill(self) -> None:
        """End it and everything that it has started; does nothing if it has ended by itself."""
        if self._process.returncode is None:
            self._kill_group()
            self._ended(0)
        self._selector.close()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def completed(self) -> Completed:
        return Completed(self._process.returncode, bytes(self._stdout), bytes(self._stderr), self._cut, self.seconds)

    def last_errors(self) -> list[str]:
        """Whole lines only: a part of a secret would not be recognised."""
        said = self._stderr[-2001:].decode(errors="replace").splitlines()
        return (said if len(self._stderr) <= 2000 else said[1:])[-5:]

    def _ended(self, how: int = os.WNOHANG) -> bool:
        """Whether it has ended; then it is reaped. Popen's own way does not return the used processor time."""
        if self._process.returncode is None:
            try:
                reaped, status, used = os.wait4(self._process.pid, how)
            except ChildProcessError:  # the process that started us ignores SIGCHLD
                self._process.returncode = 0
            else:
                if reaped:
                    self._process.returncode = os.waitstatus_to_exitcode(status)
                    self.seconds = used.ru_utime + used.ru_stime
        return self._process.returncode is not None

    def _kill_group(self) -> None:
        # This is safe directly after the leader was reaped: while a member lives, the group keeps its number, and the
        # kernel reuses a free number only after all others.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _drain(self) -> None:
        until = time.monotonic() + _DRAIN
        if self._process.stdin is not None:
            self._forget(self._process.stdin)
        while self._selector.get_map() and (remaining := until - time.monotonic()) > 0:
            self._turn(remaining)

    def _turn(self, timeout: float) -> None:
        for key, _ in self._selector.select(timeout):
            key.data()

    def _listen(self, stream: IO[bytes] | None, event: int, act: Callable[[], None]) -> None:
        if stream is not None:
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, event, act)

    def _forget(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(stream)
        stream.close()

    def _read_stdout(self) -> None:
        data = self._read(self._process.stdout)
        self._keep(data[: self._room])
        self._cut |= len(data) > self._room
        self._room -= min(len(data), self._room)

    def _read_stderr(self) -> None:
        self._stderr += self._read(self._process.stderr)
        surplus = len(self._stderr) - self._limit
        if surplus > 0:
            del self._stderr[:surplus]
            self._cut = True

    def _read(self, stream: IO[bytes] | None) -> bytes:
        if stream is None:
            return b""
        data = os.read(stream.fileno(), _CHUNK)
        self._heard()
        if not data:
            self._forget(stream)
        return data

    def _write_stdin(self) -> None:
        stream = self._process.stdin
        if stream is None:
            return
        try:
            written = os.write(stream.fileno(), self._feed[:_CHUNK]) if self._feed else 0
        except BrokenPipeError:
            written = len(self._feed)
        self._feed = self._feed[written:]
        if not self._feed:
            self._forget(stream)
