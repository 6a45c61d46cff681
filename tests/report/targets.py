"""Where notifications arrive: a real HTTP server and a real SMTP server on loopback, and one in memory."""

from __future__ import annotations

import email
import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from reconciler.report.courier import Sent


class Receiver:
    """`statuses`: of the next answers to POST, then 200; `gets`: to GET. `during` is called before each answer."""

    def __init__(self) -> None:
        self.port = 0
        self.got: list[dict[str, Any]] = []
        self.fetched: list[str] = []
        self.raw: list[str] = []
        self.statuses: list[int] = []
        self.gets: list[int] = []
        self.headers: dict[str, str] = {}
        self.endless = False
        self.during: Callable[[], None] = lambda: None

    def url(self, path: str = "", scheme: str = "json") -> str:
        return f"{scheme}://127.0.0.1:{self.port}/{path}"


@contextmanager
def http() -> Iterator[Receiver]:
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            made.raw.append(f"{self.path}\n{self.headers}\n{data.decode()}")
            made.during()
            if self._answer(made.statuses) < 300:
                made.got.append(json.loads(data))

        def do_GET(self) -> None:
            made.raw.append(f"{self.path}\n{self.headers}")
            made.during()
            if self._answer(made.gets) < 300:
                made.fetched.append(self.path)

        def _answer(self, statuses: list[int]) -> int:
            status = statuses.pop(0) if statuses else 200
            body = b"fine"
            self.send_response(status)
            if made.endless:
                self._stream()
                return status
            for name, value in made.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return status

        def _stream(self) -> None:
            self.end_headers()
            with suppress(OSError):
                while True:
                    self.wfile.write(b"x" * (1 << 20))

        def log_message(self, *told: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Mailbox(socketserver.ThreadingTCPServer):
    """SMTP (RFC 5321) as far as a client needs it that sends one mail. `mails`: what arrived."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Smtp)
        self.mails: list[Message] = []
        self.refuse = False

    @property
    def url(self) -> str:
        return f"mailto://127.0.0.1:{self.server_address[1]}?from=mini@example.org&to=me@example.org&mode=insecure"


class _Smtp(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        box = cast(Mailbox, self.server)
        self._say("220 here")
        while line := self.rfile.readline().decode().strip():
            verb = line.upper()
            if verb.startswith("EHLO"):
                self._say("250-here\r\n250 8BITMIME")
            elif verb.startswith("RCPT") and box.refuse:
                self._say("550 no such mailbox")
            elif verb == "DATA":
                self._say("354 go on")
                data = b""
                while (part := self.rfile.readline()) not in (b".\r\n", b""):
                    data += part.removeprefix(b".") if part.startswith(b"..") else part
                box.mails.append(email.message_from_bytes(data, policy=default))
                self._say("250 kept")
            elif verb == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 fine")

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@contextmanager
def smtp() -> Iterator[Mailbox]:
    with Mailbox() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Letters:
    """A messenger in memory. `answers`: of the next errands, then all is well. `sent`: (url, title, body, event)."""

    answers: list[Sent] = field(default_factory=list)
    sent: list[tuple[str, str, str, str]] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)

    def send(self, url: str, title: str, body: str, event: str) -> Sent:
        self.sent.append((url, title, body, event))
        return self.answers.pop(0) if self.answers else Sent(True, "accepted")

    def fetch(self, url: str) -> Sent:
        self.fetched.append(url)
        return self.answers.pop(0) if self.answers else Sent(True, "answered")

    @property
    def titles(self) -> list[str]:
        return [title for _, title, _, _ in self.sent]
