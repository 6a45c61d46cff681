"""Sockets on which tools in containers may read the engine, and nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

from reconciler.errors import Usage
from reconciler.formats.engine_read import FOLDERS, SOCKET, Passed, error_of, passed
from reconciler.host_paths import MODE
from reconciler.log import logger
from reconciler.materialise import make_folders
from reconciler.model.outcome import Reason
from reconciler.workspace import only_one

MOST_CLIENTS = 64
"""Largest number of connections at the same time, on each socket."""

LONGEST_HEAD = 16 * 1024
LARGEST_ANSWER = 32 * 1024 * 1024
"""Bytes of a request's head, and of an answer that is masked as a whole or as one line."""

ASKED_WITHIN = 10.0
TAKEN_WITHIN = 60.0
"""Seconds in which a client has to send its request, and in which it has to take what it is sent."""

LOOK = 0.25
"""Seconds between two looks whether the process is to end."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Refused(Exception):
    """The request is not passed on. `status`: of HTTP."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


def serve(state: Path, engine: str, stop: Event) -> None:
    """Serve the sockets below `<state>/engine` until `stop` is set. `engine`: its URL.

    Usage where the engine has no socket of this machine; Locked where another process serves them.
    """
    address = urlsplit(engine)
    if address.scheme != "unix":
        raise Usage(
            Reason.ENGINE_UNAVAILABLE,
            f"engine-read serves an engine on this machine, and {address.scheme}:// is none",
            "Run it on the engine's own machine, with `engine: unix:///…` in the agent config.",
        )
    folder = state / "engine"
    for name in FOLDERS.values():
        make_folders(folder / name, MODE)
    with only_one(folder / "lock", f"serves the sockets in {folder}"):
        asyncio.run(_serve(folder, address.path, stop))


async def _serve(folder: Path, engine: str, stop: Event) -> None:
    async with (
        _listening(folder / "engine-read", engine, logs=False),
        _listening(folder / "engine-logs", engine, logs=True),
    ):
        logger.info("the engine can be read at {}", folder)
        while not stop.is_set():
            await asyncio.sleep(LOOK)


@asynccontextmanager
async def _listening(folder: Path, engine: str, *, logs: bool) -> AsyncIterator[None]:
    path = folder / SOCKET
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
    desk = _Desk(engine, logs)
    server = await asyncio.start_unix_server(desk.answer, sock=_bound(folder), limit=LONGEST_HEAD)
    path.chmod(0o666)  # for users of containers; others cannot enter the folder, which is only mounted
    try:
        yield
    finally:
        server.close()
        desk.end()
        with suppress(FileNotFoundError):
            path.unlink()


def _bound(folder: Path) -> socket.socket:
    """A socket that is bound in the folder, also if its path is longer than the 107 bytes of a socket's address."""
    made = socket.socket(socket.AF_UNIX)
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        short = Path(f"/proc/self/fd/{opened}")
        made.bind(str((short if short.exists() else folder) / SOCKET))
    except BaseException:
        made.close()
        raise
    finally:
        os.close(opened)
    return made


class _Desk:
    """Answers the clients of one socket."""

    def __init__(self, engine: str, logs: bool) -> None:
        self._engine, self._logs = engine, logs
        self._clients: set[asyncio.Task[None]] = set()

    def end(self) -> None:
        for client in self._clients:
            client.cancel()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            await self._one((reader, writer), full=len(self._clients) > MOST_CLIENTS)
        except Refused as refused:
            with suppress(OSError, TimeoutError):
                await _say(writer, refused.status, f"reconciler: {refused}")
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            logger.debug("a reader of the engine went: {}", error)
        except asyncio.CancelledError:
            writer.transport.abort()  # the process is ending; asyncio would log a re-raised cancellation as an error
        finally:
            self._clients.discard(task)
            writer.close()

    async def _one(self, client: Streams, full: bool) -> None:
        """One request; the connection ends with its answer."""
        if full:
            raise Refused("503 Service Unavailable", f"{MOST_CLIENTS} connections are open already")
        request = await _asked(client[0])
        found = passed(*request, logs=self._logs)
        if found is None:
            what = f"{request[0]} {request[1].partition('?')[0]}"
            logger.warning("a reader of the engine was refused: {}", what)
            raise Refused("403 Forbidden", f"this socket only reads the engine, and {what} is not on its list")
        try:
            engine = await asyncio.open_unix_connection(self._engine, limit=LARGEST_ANSWER)
        except OSError as error:
            raise Refused("502 Bad Gateway", f"the engine does not answer: {error.strerror or error}") from error
        try:
            engine[1].write(f"{request[0]} {found.target} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
            await _until_gone(client[0], _pass_on(engine[0], client[1], found, request[0] == "HEAD"))
        finally:
            engine[1].transport.abort()


async def _asked(reader: asyncio.StreamReader) -> tuple[str, str]:
    """Read method and target of the request. Its headers and body are never passed to the engine."""
    try:
        async with asyncio.timeout(ASKED_WITHIN):
            head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as error:
        raise Refused("431 Request Header Fields Too Large", "the head of the request is too long") from error
    parts = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
    if len(parts) != 3 or parts[2] != "HTTP/1.1":
        raise Refused("400 Bad Request", "this is no HTTP/1.1 request")
    return parts[0], parts[1]


async def _until_gone(client: asyncio.StreamReader, work: Awaitable[None]) -> None:
    """Do the work, and cancel it if the client closes the connection."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_drained(client))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        working.cancel()
        gone.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


async def _drained(client: asyncio.StreamReader) -> None:
    while await client.read(LONGEST_HEAD):
        pass


async def _pass_on(engine: asyncio.StreamReader, client: asyncio.StreamWriter, request: Passed, head: bool) -> None:
    """Pass the engine's answer to the client. Streams are sent in chunks as the engine does, because clients rely on
    it."""
    answer = (await engine.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = answer[0].partition(" ")[2]
    kept = [line for line in answer[1:] if line.partition(":")[0].lower() in _HEADERS]
    ok = status.startswith("2")
    if head:
        _begin(client, status, kept)
    elif ok and (request.mask is None or request.lines):
        _begin(client, status, [*kept, "Transfer-Encoding: chunked"])
        await _stream(engine, client, request)
    else:
        value = _value(await _whole(engine))
        body = json.dumps(request.mask(value) if ok and request.mask else error_of(value)).encode()
        _begin(client, status, [*kept, f"Content-Length: {len(body)}"])
        client.write(body)
        await _taken(client)


_HEADERS = frozenset(
    {"content-type", "api-version", "ostype", "server", "docker-experimental", "builder-version", "swarm"}
)


def _begin(client: asyncio.StreamWriter, status: str, headers: Sequence[str]) -> None:
    client.write("\r\n".join([f"HTTP/1.1 {status}", *headers, "Connection: close", "", ""]).encode("latin-1"))


async def _stream(engine: asyncio.StreamReader, client: asyncio.StreamWriter, request: Passed) -> None:
    while data := await (engine.readline() if request.lines else engine.read(64 * 1024)):
        if request.lines and request.mask:
            data = json.dumps(request.mask(json.loads(data))).encode() + b"\n"
        client.write(b"%x\r\n%b\r\n" % (len(data), data))
        await _taken(client)
    client.write(b"0\r\n\r\n")
    await _taken(client)


def _value(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return None


async def _whole(engine: asyncio.StreamReader) -> bytes:
    found = bytearray()
    while data := await engine.read(64 * 1024):
        found += data
        if len(found) > LARGEST_ANSWER:
            raise ConnectionError("the engine's answer is too large to be masked")
    return bytes(found)


async def _taken(client: asyncio.StreamWriter) -> None:
    async with asyncio.timeout(TAKEN_WITHIN):
        await client.drain()


async def _say(client: asyncio.StreamWriter, status: str, message: str) -> None:
    body = json.dumps({"message": message}).encode()
    _begin(client, status, ["Content-Type: application/json", f"Content-Length: {len(body)}"])
    client.write(body)
    await _taken(client)
