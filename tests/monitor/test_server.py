"""The server on a real socket."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack, suppress

import pytest
from starlette.responses import PlainTextResponse

from reconciler.monitor import server


def _is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def _answer(address: tuple[str, int]) -> bytes:
    with socket.create_connection(address, timeout=5) as connection, suppress(ConnectionError):
        connection.sendall(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
        return connection.recv(1000)
    return b""


def test_number_of_open_connections_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "QUICK", 600.0)  # a busy machine opens them slowly: none is closed for being idle
    stop, place = threading.Event(), server.listen("127.0.0.1", 0)
    serving = threading.Thread(target=server.serve, args=(PlainTextResponse("well"), place, stop))
    serving.start()
    with ExitStack() as opened:
        opened.callback(serving.join)
        opened.callback(stop.set)
        address, idle = place.getsockname(), []
        for _ in range(server.MOST + 3 * server.ACCEPTED):
            idle.append(opened.enter_context(socket.create_connection(address, timeout=5)))
            idle[-1].setblocking(False)
        deadline = time.monotonic() + 60
        while sum(map(_is_closed, idle)) < 3 * server.ACCEPTED:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert sum(map(_is_closed, idle)) == 3 * server.ACCEPTED
        for connection in idle:
            connection.close()
        while b"200 OK" not in _answer(address):  # until the server has seen that they are gone
            assert time.monotonic() < deadline
            time.sleep(0.05)
