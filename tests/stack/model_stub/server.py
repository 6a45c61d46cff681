"""The server. The model's name (`stub-hang`) chooses its behaviour; for other names POST /stub/behaviour does."""

from __future__ import annotations

import json
import secrets
import select
import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .behaviours import BEHAVIOURS, FAILURES, NAMES, Conversation
from .wire import Failure, Written, event


@dataclass
class Chosen:
    """`times`: number of requests that it applies to; 0: all. `seconds`: between the events of a slow answer."""

    behaviour: str = "work"
    times: int = 0
    seconds: float = 1.0
    retry_after: int | None = None


@dataclass
class State:
    chosen: Chosen | None = None
    numbers: int = 0
    requests: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    under_way: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, model: str) -> tuple[int, Chosen]:
        """Count a request. Returns its number and the behaviour for it."""
        with self.lock:
            self.numbers += 1
            self.models[model] += 1
            by_name = model.removeprefix("stub-")
            chosen = Chosen(by_name) if by_name in NAMES else self.chosen or Chosen()
            if chosen is self.chosen and self.chosen.times:
                left = self.chosen.times - 1
                self.chosen = replace(self.chosen, times=left) if left else None
            self.requests[chosen.behaviour] += 1
            return self.numbers, chosen

    def told(self) -> dict[str, Any]:
        with self.lock:
            counted = {"requests": self.requests, "statuses": self.statuses, "models": self.models}
            return {"total": self.numbers, "under_way": self.under_way, **{k: dict(v) for k, v in counted.items()}}


class Server(ThreadingHTTPServer):
    """`with Server(port) as server`: serves in a thread of its own during the block. Port 0: any free port."""

    daemon_threads = True
    # Many clients connect at once.
    request_queue_size = 128

    def __init__(self, port: int = 0, address: str = "127.0.0.1") -> None:
        super().__init__((address, port), Handler)
        self.state, self.stopping = State(), threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def behave(self, behaviour: str, **how: Any) -> None:
        """Choose a behaviour. `how`: fields of Chosen. ValueError if there is no such behaviour."""
        if behaviour not in NAMES:
            raise ValueError(f"no behaviour {behaviour!r}; there are: {', '.join(NAMES)}")
        self.state.chosen = Chosen(behaviour, **how)

    def __enter__(self) -> Server:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def handle_one_request(self) -> None:
        self.request_id = f"req_011C{secrets.token_hex(10)}"
        super().handle_one_request()

    def log_message(self, format: str, *args: Any) -> None:
        return

    def do_HEAD(self) -> None:
        self._document(200, {})

    def do_GET(self) -> None:
        self._document(200, self.server.state.told() if self.path == "/stub/stats" else {"ok": True})

    def do_POST(self) -> None:
        path, length = self.path.partition("?")[0], int(self.headers.get("Content-Length") or 0)
        try:
            body = json.loads(self.rfile.read(length) or b"{}")
        except ValueError:
            return self._fail(Failure(400, "the body is not JSON"))
        if path == "/stub/behaviour":
            return self._behave(body)
        if path == "/stub/reset":
            self.server.state = State()
            return self._document(200, {})
        if path == "/v1/messages/count_tokens":
            return self._document(200, {"input_tokens": length // 4 + 1})
        if path != "/v1/messages":
            return self._fail(Failure(404, f"no {path} here"))
        if not (self.headers.get("x-api-key") or self.headers.get("authorization")):
            return self._fail(FAILURES["unauthorised"])
        return self._counted(body, length)

    def _behave(self, body: dict[str, Any]) -> None:
        try:
            self.server.behave(**body)
        except (TypeError, ValueError) as error:
            return self._fail(Failure(400, str(error)))
        return self._document(200, body)

    def _counted(self, body: dict[str, Any], length: int) -> None:
        state = self.server.state
        with state.lock:
            state.under_way += 1
        try:
            self._message(body, length, *state.take(str(body.get("model"))))
        except OSError:
            self.close_connection = True
        finally:
            with state.lock:
                state.under_way -= 1

    def _message(self, body: dict[str, Any], length: int, number: int, chosen: Chosen) -> None:
        name = chosen.behaviour
        if name in FAILURES:
            failure = FAILURES[name]
            return self._fail(replace(failure, retry_after=chosen.retry_after or failure.retry_after))
        if name == "hang":
            return self._hang()
        say = BEHAVIOURS.get(name, BEHAVIOURS["work"])
        written = Written(say(Conversation(body, number)), number, str(body.get("model")), length)
        if name == "malformed":
            return self._bytes(200, b'{"type": "message", "content": [{"type": "text", "te', "application/json")
        if not body.get("stream"):
            return self._document(200, written.document)
        return self._stream(written, chosen)

    def _stream(self, written: Written, chosen: Chosen) -> None:
        self._head(200, "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        events = list(written.events())
        for sent, data in enumerate(events):
            if chosen.behaviour == "cut" and sent == len(events) // 2:
                self._chunk(event("error", error={"type": "api_error", "message": "the connection broke"}))
                self.close_connection = True
                return
            if chosen.behaviour == "slow":
                self.server.stopping.wait(chosen.seconds)
            self._chunk(data)
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _hang(self) -> None:
        self.close_connection = True
        while not self.server.stopping.is_set():
            readable, _, _ = select.select([self.connection], [], [], 0.5)
            if readable and not self.connection.recv(4096):
                return

    def _fail(self, failure: Failure) -> None:
        more = {} if failure.retry_after is None else {"retry-after": str(failure.retry_after)}
        self._document(failure.status, failure.document(self.request_id), more)

    def _document(self, status: int, document: Any, more: dict[str, str] | None = None) -> None:
        self._bytes(status, json.dumps(document).encode(), "application/json", more)

    def _bytes(self, status: int, body: bytes, kind: str, more: dict[str, str] | None = None) -> None:
        self._head(status, kind)
        for name, value in {"Content-Length": str(len(body)), **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, kind: str) -> None:
        with self.server.state.lock:
            self.server.state.statuses[str(status)] += self.path.startswith("/v1/messages")
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("request-id", self.request_id)
