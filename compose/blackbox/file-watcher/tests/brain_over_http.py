"""A server with brain-api's protocol over real HTTP. It stores artifacts, and can fail or refuse requests."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "the-watchers-own-key"


class Api:
    """`items`: path → artifact. `failing`: (status, headers) of the answer to every request. `refused`: content with
    this word is refused."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.failing: tuple[int, dict[str, str]] | None = None
        self.refused = "\0"
        self.forget_answers = 0
        self._server: ThreadingHTTPServer | None = None
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def contents(self) -> dict[str, str]:
        return {path: item["content"] for path, item in self.items.items()}

    def start(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self))
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, url: str, body: Any) -> tuple[int, Any]:
        where = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(where.query).items()}
        if (method, where.path) == ("POST", "/api/v1/artifacts/batch"):
            if len(body["artifacts"]) > 100 or any(self.refused in item["content"] for item in body["artifacts"]):
                return 422, {"error": {"code": "validation", "message": "content"}}
            for item in body["artifacts"]:
                self.items[item["path"]] = item
            return 200, {"artifacts": []}
        if (method, where.path) == ("DELETE", "/api/v1/artifacts"):
            return 200, {"deleted": int(self.items.pop(query["path"], None) is not None)}
        if (method, where.path) == ("GET", "/api/v1/artifacts"):
            made = [
                item for item in self.items.values() if query["tag"] in item["tags"] and item["kind"] == query["kind"]
            ]
            start, limit = int(query.get("cursor", 0)), int(query["limit"])
            more = str(start + limit) if len(made) > start + limit else None
            return 200, {"artifacts": made[start : start + limit], "next": more}
        return 404, {"error": {"code": "not_found", "message": where.path}}


def _handler(api: Api) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            api.requests.append(f"{self.command} {urlsplit(self.path).path}")
            headers: dict[str, str] = {}
            if self.headers["Authorization"] != f"Bearer {KEY}":
                status, document = 401, {"error": {"code": "unauthorized"}}
            elif api.failing is not None:
                (status, headers), document = api.failing, {"error": {"code": "unavailable"}}
            else:
                status, document = api.answer(self.command, self.path, json.loads(data) if data else None)
                if api.forget_answers and self.command != "GET":
                    api.forget_answers -= 1
                    self.close_connection = True
                    return
            body = json.dumps(document).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = _any  # noqa: N815 - http.server needs these names

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
