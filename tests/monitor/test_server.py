"""The server on a real socket."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack

from starlette.responses import PlainTextResponse

from reconciler.monitor.server import ACCEPTED, MOST, listen, serve


def _is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_number_of_open_connections_is_bounded() -> None:
    stop, place = threading.Event(), listen("127.0.0.1", 0)
    server = threading.Thread(target=serve, args=(PlainTextResponse("well"), place, stop))
    server.start()
    with ExitStack() as opened:
        opened.callback(server.join)
        opened.callback(stop.set)
        address, idle = place.getsockname(), []
        for _ in range(MOST + 3 * ACCEPTED):
            idle.append(opened.enter_context(socket.create_connection(address, timeout=5)))
            idle[-1].setblocking(False)
        deadline = time.monotonic() + 8
        while sum(map(_is_closed, idle)) < 3 * ACCEPTED:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert sum(map(_is_closed, idle)) == 3 * ACCEPTED
        for connection in idle:
            connection.close()
        time.sleep(0.5)
        with socket.create_connection(address, timeout=5) as last:
            last.sendall(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
            assert b"200 OK" in last.recv(1000)
