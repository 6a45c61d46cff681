"""A socket in front of the real engine that can refuse, hang, be slow, or cut every connection that is open."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
import time
from pathlib import Path


class Proxy:
    """Forwards `socket` to the engine's socket until told otherwise. Use as a context manager."""

    def __init__(self, folder: Path, engine: str) -> None:
        self.path = folder / "engine.sock"
        self.address = f"unix://{self.path}"
        self._engine = engine.removeprefix("unix://")
        self._hangs = False
        self._delay = 0.0
        self._open: list[socket.socket] = []
        self._hung: list[socket.socket] = []
        self._watchdog: socket.socket | None = None

    def __enter__(self) -> Proxy:
        self.answer()
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse()

    def answer(self) -> None:
        """Forward again, after `refuse` as if the engine had been restarted."""
        self._hangs = False
        if self._watchdog is None:
            self._watchdog = socket.socket(socket.AF_UNIX)
            self._watchdog.bind(str(self.path))
            self._watchdog.listen(16)
            threading.Thread(target=self._accept, args=(self._watchdog,), daemon=True).start()

    def hang(self) -> None:
        """Accept connections and send nothing."""
        self._hangs = True

    def slow(self, seconds: float) -> None:
        """Wait so long before passing on each part of an answer."""
        self._delay = seconds

    def cut(self) -> None:
        """Break all connections; new ones are served."""
        for end in [*self._open, *self._hung]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for end in self._hung:  # nobody else does
            end.close()
        self._open, self._hung = [], []

    def refuse(self) -> None:
        """Break all connections and accept none."""
        if self._watchdog is not None:
            os.unlink(self.path)
            with contextlib.suppress(OSError):
                self._watchdog.shutdown(socket.SHUT_RDWR)
            self._watchdog.close()
            self._watchdog = None
        self.cut()

    def _accept(self, watchdog: socket.socket) -> None:
        while True:
            try:
                client, _ = watchdog.accept()
            except OSError:
                return
            (self._hung if self._hangs else self._open).append(client)
            if not self._hangs:
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as engine, selectors.DefaultSelector() as either:
            engine.connect(self._engine)
            either.register(client, selectors.EVENT_READ, engine)
            either.register(engine, selectors.EVENT_READ, client)
            with contextlib.suppress(OSError):
                while True:
                    for key, _ in either.select():
                        assert isinstance(key.fileobj, socket.socket)
                        data = key.fileobj.recv(65536)
                        if not data or self._hangs:
                            return
                        if key.fileobj is engine:
                            time.sleep(self._delay)
                        key.data.sendall(data)
