"""The HTTP server: one socket, few connections, a short time limit for clients that send nothing."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from reconciler.errors import Usage
from reconciler.model.outcome import Reason

CONNECTIONS = 128
"""Number of connections at one time; further ones get 503."""

MOST = 2 * CONNECTIONS
"""Number of connections that may be open; further ones are closed at once. Each takes one of the open files that the
process may have, and the monitor's threads need some of them."""

ACCEPTED = 64
"""Number of connections that the kernel keeps for us, and that asyncio accepts before it does anything else."""

QUICK = 10.0
"""Seconds in which the head of a request has to arrive."""

PIECE = 32 << 10
"""Bytes that are read from a connection at a time. With asyncio's 256 KiB, large requests on all connections took 50
MB."""

LOOK = 0.5
"""Seconds between two checks whether to end."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Usage if the address cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=ACCEPTED)
        # Accepted connections inherit it. asyncio does not set it for a socket made here, and then each answer after
        # the first on a connection would wait 40 ms for the client's acknowledgement.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        raise Usage(
            Reason.USAGE_INVALID,
            f"cannot listen on {host} port {port}: {error.strerror}",
            "is another monitor running? `monitor.listen` in the agent config names another address",
        ) from error


def serve(application: ASGIApp, place: socket.socket, stop: threading.Event) -> None:
    """Answer until `stop` is set."""
    config = uvicorn.Config(
        application,
        http=Impatient,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="error",  # anybody can cause warnings, as many as they like
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        limit_concurrency=CONNECTIONS,
        backlog=ACCEPTED,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=2,
    )
    asyncio.run(_Server(config, stop).serve([place]))


class _Server(uvicorn.Server):
    """Ends when `stop` is set; the command line handles signals. Runs less often than uvicorn's own loop."""

    def __init__(self, config: uvicorn.Config, stop: threading.Event) -> None:
        super().__init__(config)
        self._stop = stop

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        while not self._stop.is_set():
            await asyncio.sleep(LOOK)


class Impatient(H11Protocol):
    """Closes a connection if the head of a request does not arrive within QUICK seconds, or if too many are open."""

    def connection_made(self, transport: Any) -> None:
        transport.max_size = PIECE  # of asyncio's transports; others ignore it
        super().connection_made(transport)
        self._watched = self.loop.call_later(QUICK, self._look, None)
        if len(self.connections) > MOST:
            transport.abort()

    def _look(self, before: object) -> None:
        """Close the connection if it had no new request since the last call. `before`: the last answered request
        then."""
        cycle = self.cycle
        idle = cycle is None or cycle.response_complete
        if idle and cycle is before:
            self.transport.close()
        else:
            self._watched = self.loop.call_later(QUICK, self._look, cycle if idle else object())

    def connection_lost(self, exc: Exception | None) -> None:
        self._watched.cancel()
        super().connection_lost(exc)
