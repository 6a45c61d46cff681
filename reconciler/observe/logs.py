"""Output of containers, line by line, from the logs that the engine keeps."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import docker
from docker.types import CancellableStream

from reconciler.engine import TIMEOUT, UNIX, engine_calls, plain_stream
from reconciler.log import logger
from reconciler.model.logs import NANOSECONDS, LogLine, nanoseconds
from reconciler.model.observed import Container

PIECE = 64 << 10
"""Bytes that are read at a time."""

LONGEST = 1 << 20
"""Bytes of a line; the rest of a longer one is a line of its own. The engine delivers pieces of 16 KiB."""

STAMP = 64
"""Most bytes of the time before a line, and of the space after it."""

STREAMS = {1: "stdout", 2: "stderr"}
HEADER = 8
UTC_TIME = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")


class ContainerLog:
    """The log of one container. Iterate over it once; another thread can end that by `close`.

    `since`, `until`: times as in `LogLine`, both included; '' for no bound. `tail`: number of newest lines.
    `follow`: go on until the container ends. Away when the engine does not answer. A container that is gone, or whose
    log driver cannot be read, has no lines. `address`: the engine's; a unix socket is read without the client's
    library.
    """

    def __init__(
        self,
        client: docker.APIClient,
        container: Container,
        *,
        since: str = "",
        until: str = "",
        tail: int | None = None,
        follow: bool = False,
        address: str = "",
    ) -> None:
        self._client, self._container, self._follow, self._address = client, container, follow, address
        self._query: dict[str, Any] = {
            "stdout": 1,
            "stderr": 1,
            "timestamps": 1,
            "tail": "all" if tail is None else tail,
        }
        self._query |= {"since": _seconds(since)} if since else {}
        self._query |= {"until": _seconds(until)} if until else {}
        self._query |= {"follow": 1} if follow else {}
        self._response: Any = None
        self._connection: socket.socket | None = None
        self._closed = False

    def __iter__(self) -> Iterator[LogLine]:
        item = self._container
        with engine_calls(f"read the log of {item.name}"):
            if self._address.startswith(UNIX):
                target = f"containers/{item.id}/logs?{urlencode(self._query)}"
                patience = None if self._follow else TIMEOUT
                with plain_stream(self._address, target, patience) as (connection, status, head, pieces):
                    if status == 200 and head.get("transfer-encoding") == "chunked":
                        self._connection = connection
                        yield from self._lines(head.get("content-type", ""), self._until_closed(pieces))
                        return
            url = f"{self._client.base_url}/v{self._client.api_version}/containers/{item.id}/logs"
            timeout = (TIMEOUT, None if self._follow else TIMEOUT)
            with self._client.get(url, params=self._query, stream=True, timeout=timeout) as response:
                if response.status_code != 200:
                    if response.status_code not in (404, 409):
                        logger.warning("no log of {}: {}", item.name, response.text.strip()[:200])
                    return
                self._response = response
                pieces = self._until_closed(response.iter_content(PIECE))
                yield from self._lines(response.headers.get("Content-Type", ""), pieces)

    def _lines(self, content_type: str, pieces: Iterator[bytes]) -> Iterator[LogLine]:
        item, framed = self._container, "multiplexed" in content_type
        for time, stream, line in lines(framed_pieces(pieces) if framed else plain_pieces(pieces)):
            yield LogLine(time, item.stack, item.service, item.id, stream, line)

    def close(self) -> None:
        self._closed = True
        if self._response is not None:
            CancellableStream(iter(()), self._response).close()
        if self._connection is not None:
            with suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)

    def _until_closed(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The pieces of the answer. After `close` any error only means the end, because each layer raises a different
        one."""
        try:
            yield from pieces
        except Exception:
            if not self._closed:
                raise


def framed_pieces(pieces: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
    """(stream, output) from the engine's frames: a byte for the stream, three zeros, a length of four bytes, the
    output."""
    held = bytearray()
    for piece in pieces:
        held += piece
        at = 0
        while len(held) - at >= HEADER:
            size = int.from_bytes(held[at + 4 : at + HEADER], "big")
            if len(held) - at - HEADER < size:
                break
            yield STREAMS.get(held[at], "stdout"), bytes(held[at + HEADER : at + HEADER + size])
            at += HEADER + size
        del held[:at]


def plain_pieces(pieces: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
    """('stdout', line) from the log of a container with a terminal, which has no frames. A line that does not end is
    cut; each part begins with the line's time."""
    held = b""
    for piece in pieces:
        *whole, held = (held + piece).split(b"\n")
        yield from (("stdout", line + b"\n") for line in whole)
        if len(held) > LONGEST + STAMP:
            yield "stdout", held
            held = held[:STAMP].partition(b" ")[0] + b" "
    if held:
        yield "stdout", held


def lines(pieces: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, str, str]]:
    """(time, stream, line). Pieces of a long line, each of which has a time, are joined; the first time counts."""
    held: dict[str, tuple[str, bytes]] = {}
    for stream, piece in pieces:
        stamp, _, text = piece.partition(b" ")
        time, before = held.pop(stream, ("", b""))
        time, text = time or _utc(stamp), before + text
        if not text.endswith(b"\n") and len(text) < LONGEST:
            held[stream] = time, text
        else:
            yield time, stream, _text(text)
    for stream, (time, text) in held.items():
        yield time, stream, _text(text)


def _text(line: bytes) -> str:
    return line.removesuffix(b"\n").removesuffix(b"\r").decode(errors="replace")


def _utc(stamp: bytes) -> str:
    """The time in UTC with nine decimals. Some log drivers write the engine's own time zone, or fewer decimals."""
    if UTC_TIME.fullmatch(stamp):
        return stamp.decode()
    try:
        moment = datetime.fromisoformat(stamp.decode(errors="replace")).astimezone(UTC)
    except ValueError:
        moment = datetime.fromtimestamp(0, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06}000Z"


def _seconds(time: str) -> str:
    count = nanoseconds(time)
    return f"{count // NANOSECONDS}.{count % NANOSECONDS:09}"
