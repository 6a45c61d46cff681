"""Measures the connection to a machine: round trips, transfer, and the answers of its services through a tunnel."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from reconciler.ssh import Ssh

MOST_BYTES = 64 << 20
MOST_SECONDS = 10.0
"""A transfer ends after so many bytes or seconds, whichever comes first."""

PATIENCE = 5.0
"""Seconds until a byte that does not come back, or a service that does not answer, counts as lost."""

_CHUNK = os.urandom(1 << 16)
"""Not compressible: a compressed connection would look faster than it is."""


class Line:
    """Measures a connection. `ssh` must have connected."""

    def __init__(self, ssh: Ssh) -> None:
        self._ssh = ssh

    @contextmanager
    def echo(self) -> Iterator[Echo]:
        """A channel whose other end returns every byte."""
        child = self._start("exec cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            yield Echo(child)
        finally:
            _end(child)

    def up(self) -> float | None:
        """Bytes per second to the machine; None if the connection broke."""
        child, sent, begun = self._start("exec cat >/dev/null", stdin=subprocess.PIPE), 0, time.monotonic()
        assert child.stdin is not None
        try:
            while sent < MOST_BYTES and time.monotonic() - begun < MOST_SECONDS:
                child.stdin.write(_CHUNK)
                sent += len(_CHUNK)
            child.stdin.close()
            return sent / (time.monotonic() - begun) if child.wait(MOST_SECONDS) == 0 else None
        except (OSError, subprocess.TimeoutExpired):
            return None
        finally:
            _end(child)

    def down(self) -> float | None:
        """Bytes per second from the machine; None if nothing arrived."""
        child = self._start(f"head -c {MOST_BYTES} /dev/urandom", stdout=subprocess.PIPE)
        assert child.stdout is not None
        got, begun = 0, time.monotonic()
        try:
            while time.monotonic() - begun < MOST_SECONDS and (data := child.stdout.read(1 << 16)):
                got += len(data)
            return got / (time.monotonic() - begun) if got else None
        finally:
            _end(child)

    def _start(
        self, script: str, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        command = [*self._ssh.command("-T", "-o", "BatchMode=yes"), script]
        return subprocess.Popen(
            command, env=self._ssh.environ, stdin=stdin, stdout=stdout, stderr=subprocess.DEVNULL, bufsize=0
        )


class Echo:
    """Measures round trips of single bytes."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child

    def round_trip(self) -> float | None:
        """Seconds of one round trip; None if the byte did not come back within PATIENCE."""
        stdin, stdout = self._child.stdin, self._child.stdout
        assert stdin is not None
        assert stdout is not None
        begun = time.monotonic()
        try:
            stdin.write(b"x")
            if not select.select([stdout], [], [], PATIENCE)[0] or not stdout.read(1):
                return None
        except OSError:
            return None
        return time.monotonic() - begun


def answer(port: int) -> float | None:
    """Seconds until the service behind this port of the laptop answers an HTTP request with its first byte, or closes
    the connection. None if it does neither within PATIENCE."""
    begun = time.monotonic()
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), PATIENCE) as channel:
        channel.settimeout(PATIENCE)
        channel.sendall(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
        channel.recv(1)
        return time.monotonic() - begun
    return None


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()
