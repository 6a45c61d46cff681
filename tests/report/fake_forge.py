"""A forge on loopback that behaves like GitHub, GitLab or Gitea, and that can be made to suffer."""

from __future__ import annotations

import json
import re
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.report import contracts

TOKEN = "canary-token-4711"
PREFIX = {"github": "", "gitlab": "/api/v4", "gitea": "/api/v1"}
Json = dict[str, Any]


@dataclass
class Reply:
    """`cut`: bytes that are sent of the body; `slow`: seconds before each byte; `chunked`: in pieces of 7 bytes."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    slow: float = 0.0
    chunked: bool = False


@dataclass
class OpenPull:
    """An open pull request. `fork`: its branch is in another repository."""

    number: int
    branch: str
    sha: str
    fork: bool = False
    base: str = "main"


@dataclass
class Comment:
    id: int
    sha: str
    body: str
    mine: bool = True


class FakeForge:
    """`faults`: replies in place of the next ones, None for a proper one. `wrong`: requests that no contract allows.

    `unknown`: commits that it does not have. `pulls`: commit → number of its pull request (Gitea); `locked`: those that
    take no comment.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.statuses: list[Json] = []
        self.comments: list[Comment] = []
        self.deployments: list[Json] = []
        self.keys: list[Json] = []
        self.pulls: dict[str, int] = {}
        self.open: list[OpenPull] = []
        self.unknown: set[str] = {"0" * 40}
        self.locked: set[int] = set()
        self.faults: deque[Reply | None] = deque()
        self.after: Callable[[str, str], None] = lambda method, path: None
        self.wrong: list[str] = []
        self.requests: list[str] = []
        self.tokens: set[str] = set()
        self.scopes = {"statuses", "comments", "deployments", "keys"}
        self.raw: list[str] = []
        self.port = 0

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}{PREFIX[self.kind]}"

    def states(self, sha: str, context: str) -> list[str]:
        """Oldest first, in the forge's words."""
        return [item["state"] for item in self.statuses if (item["sha"], item["context"]) == (sha, context)]

    def newest(self, sha: str, context: str) -> Json:
        return [item for item in self.statuses if (item["sha"], item["context"]) == (sha, context)][-1]

    def comments_of(self, sha: str) -> list[str]:
        return [item.body for item in self.comments if item.sha == sha]

    # -- answering ---------------------------------------------------------------------------------------------

    def answer(self, method: str, target: str, token: str, body: Any) -> Reply:
        parts = urlsplit(target)
        path, query = parts.path.removeprefix(PREFIX[self.kind]), parse_qs(parts.query)
        self.requests.append(f"{method} {path}")
        self.tokens.add(token)
        fault = self.faults.popleft() if self.faults else None
        if fault is not None:
            return fault
        if token != TOKEN:
            return Reply(401, {"message": "Bad credentials"})
        wrong = contracts.fault(self.kind, method, path, query, body)
        if wrong is not None:
            self.wrong.append(wrong)
            return Reply(422, {"message": wrong})
        channel = "statuses" if "statuses" in path and "deployments" not in path else "comments"
        channel = "deployments" if "deployments" in path else "keys" if path.endswith("keys") else channel
        if method != "GET" and channel not in self.scopes:
            needed = "required=[write:repository], token scope=read:repository"
            return Reply(403, {"message": f"token does not have at least one of required scope(s), {needed}"})
        if path.endswith("keys"):
            reply = self._keys(method, query, body)
        elif path.endswith(("/pulls", "/merge_requests")):
            reply = Reply(200, _page([_listed(self.kind, item) for item in self.open], query))
        elif found := re.search(r"/(?:issues|merge_requests)/(\d+)/(?:comments|notes)$", path):
            reply = self._talk(method, int(found[1]), query, body)
        elif found := re.search(r"/(?:issues/comments|merge_requests/\d+/notes)/(\d+)$", path):
            reply = self._edited(int(found[1]), body)
        else:
            reply = getattr(self, f"_{self.kind}")(method, path, query, body)
        self.after(method, path)
        assert isinstance(reply, Reply)
        return reply

    def _github(self, method: str, path: str, query: Json, body: Any) -> Reply:
        sha = _sha(path)
        if sha in self.unknown:
            return Reply(422, {"message": f"No commit found for SHA: {sha}"})
        if path.endswith("/comments") and "/commits/" in path:
            return self._comments(method, sha, body, query)
        if found := re.search(r"/comments/(\d+)$", path):
            return self._edited(int(found[1]), body)
        if "/deployments" in path:
            return self._deployments(method, path, query, body)
        if "statuses" in path:
            return self._statuses(method, sha, query, body, "state")
        return Reply(200, {"id": 1}, {"X-OAuth-Scopes": "repo:status"})

    def _gitea(self, method: str, path: str, query: Json, body: Any) -> Reply:
        sha = _sha(path)
        if sha in self.unknown:
            return Reply(500, {"message": "", "url": f"{self.api}/swagger"})  # why is told to administrators alone
        if path.endswith("/pull"):
            number = self.pulls.get(sha)
            return Reply(404, {"message": "not found"}) if number is None else Reply(200, {"number": number})
        if "statuses" in path:
            return self._statuses(method, sha, query, body, "status")
        return Reply(200, {"id": 1})

    def _talk(self, method: str, number: int, query: Json, body: Any) -> Reply:
        """The comments on a pull request."""
        if number < 1:
            return Reply(404, {"message": "issue does not exist"})
        if method == "POST" and number in self.locked:
            return Reply(403, {"message": "You cannot comment on a locked conversation"})
        by_number = {number: sha for sha, number in self.pulls.items()}
        subject = by_number.get(number, f"pull {number}")
        return self._comments(method, subject, body, query, paged=self.kind != "gitea")

    def _gitlab(self, method: str, path: str, query: Json, body: Any) -> Reply:
        sha = _sha(path)
        if sha in self.unknown:
            return Reply(404, {"message": "404 Commit Not Found"})
        if "/discussions" in path:
            if method == "GET":
                found = [self._discussion(item) for item in self.comments if item.sha == sha]
                return Reply(200, _page(found, query))
            if method == "POST":
                return Reply(201, self._discussion(self._add(sha, body["body"])))
            return self._edited(int(path.rpartition("/")[2]), body)
        if "/deployments" in path:
            return self._deployments(method, path, query, body)
        if "statuses" in path:
            if method == "POST":
                ours = self.states(sha, body["name"])
                if ours and ours[-1] == body["state"] and body["state"] in ("pending", "running"):
                    verb = {"pending": "enqueue", "running": "run"}[body["state"]]
                    said = f"Cannot transition status via :{verb} from :{body['state']}"
                    return Reply(400, {"message": said})
                body = {**body, "context": body["name"]}
            return self._statuses(method, sha, query, body, "status")
        return Reply(200, {"id": 1})

    def _statuses(self, method: str, sha: str, query: Json, body: Any, word: str) -> Reply:
        if method == "POST":
            row = {"sha": sha, "id": len(self.statuses) + 1, **body}
            self.statuses.append(row)
            return Reply(201, {**row, word: body["state"]})
        found = [
            {"id": item["id"], word: item["state"], "description": item["description"], "context": item["context"],
             "name": item["context"]}
            for item in reversed(self.statuses) if item["sha"] == sha
        ]  # fmt: skip
        return Reply(200, _page(found, query))

    def _comments(self, method: str, sha: str, body: Any, query: Json, paged: bool = True) -> Reply:
        if method == "POST":
            made = self._add(sha, body["body"])
            return Reply(201, {"id": made.id, "body": made.body})
        found = [{"id": item.id, "body": item.body} for item in self.comments if item.sha == sha]
        return Reply(200, _page(found, query) if paged else found)

    def _keys(self, method: str, query: Json, body: Any) -> Reply:
        if method == "GET":
            return Reply(200, _page(self.keys, query))
        self.keys.append({"id": len(self.keys) + 1, **body})
        return Reply(201, self.keys[-1])

    def _add(self, sha: str, body: str) -> Comment:
        self.comments.append(Comment(len(self.comments) + 1, sha, body))
        return self.comments[-1]

    def _edited(self, number: int, body: Any) -> Reply:
        found = next((item for item in self.comments if item.id == number), None)
        if found is None:
            return Reply(404, {"message": "Not Found"})
        if not found.mine:
            return Reply(403, b"") if self.kind == "gitea" else Reply(403, {"message": "this is another user's"})
        found.body = body["body"]
        return Reply(200, {"id": number})

    def _discussion(self, item: Comment) -> Json:
        return {"id": f"d{item.id}", "notes": [{"id": item.id, "body": item.body}]}

    def _deployments(self, method: str, path: str, query: Json, body: Any) -> Reply:
        if method == "GET":
            wanted = query.get("sha", [None])[0]
            return Reply(200, _page([item for item in self.deployments if wanted in (None, item["sha"])], query))
        if found := re.search(r"/deployments/(\d+)", path):
            row = self.deployments[int(found[1]) - 1]
            row["states"].append(body.get("state") or body.get("status"))
            return Reply(201, {"id": row["id"]})
        if (body.get("sha") or body["ref"]) in self.unknown:
            return Reply(422, {"message": f"No ref found for: {body['ref']}"})
        row = {
            "id": len(self.deployments) + 1, "sha": body.get("sha") or body["ref"], "environment": body["environment"],
            "states": [body["status"]] if "status" in body else [],
        }  # fmt: skip
        self.deployments.append(row)
        return Reply(201, row)


def _listed(kind: str, item: OpenPull) -> Json:
    """As the forge describes it, as far as it is read."""
    own, other = 7, 8 if item.fork else 7
    if kind == "gitlab":
        return {
            "iid": item.number, "sha": item.sha, "source_branch": item.branch, "target_branch": item.base,
            "source_project_id": other, "target_project_id": own,
        }  # fmt: skip
    return {
        "number": item.number, "head": {"ref": item.branch, "sha": item.sha, "repo": {"id": other}},
        "base": {"ref": item.base, "repo": {"id": own}},
    }  # fmt: skip


def _page(found: list[Json], query: Json) -> list[Json]:
    size, page = int((query.get("per_page") or query.get("limit") or ["30"])[0]), int(query.get("page", ["1"])[0])
    size = min(size, 50)  # Gitea's; shorter than what is asked for
    return found[(page - 1) * size : page * size]


def _sha(path: str) -> str:
    found = re.search(r"[0-9a-f]{40}", path)
    return found[0] if found else ""


@contextmanager
def serving(kind: str, tls: ssl.SSLContext | None = None) -> Iterator[FakeForge]:
    """A forge that listens on loopback while this lasts."""
    forge = FakeForge(kind)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            data = self.rfile.read(length)
            token = self.headers.get("PRIVATE-TOKEN") or (self.headers.get("Authorization") or "").rpartition(" ")[2]
            with lock:
                forge.raw.append(data.decode())
                reply = forge.answer(self.command, self.path, token, json.loads(data) if data else None)
            self._send(reply)

        do_POST = do_PATCH = do_PUT = do_GET  # noqa: N815

        def _send(self, reply: Reply) -> None:
            data = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            if reply.chunked:
                pieces = [data[n : n + 7] for n in range(0, len(data), 7)]
                data = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
            size = {"Transfer-Encoding": "chunked"} if reply.chunked else {"Content-Length": str(len(data))}
            for name, value in {**size, **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if reply.cut is not None:
                self.wfile.write(data[: reply.cut])
                self.close_connection = True
                return
            if reply.slow:
                for n in range(len(data)):
                    time.sleep(reply.slow)
                    self.wfile.write(data[n : n + 1])
                    self.wfile.flush()
                return
            self.wfile.write(data)

        def log_message(self, format: str, *arguments: Any) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None: ...

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    forge.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield forge
    finally:
        server.shutdown()
        server.server_close()
