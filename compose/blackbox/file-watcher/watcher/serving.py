"""/metrics and /health over HTTP."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from watcher.metrics import Measured


def serve(measured: Measured, port: int) -> ThreadingHTTPServer:
    """Start a server; it answers in threads of its own until `shutdown`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, measured.text(), "text/plain; version=0.0.4")
            elif self.path == "/health":
                problem = measured.problem()
                self._answer(503 if problem else 200, problem or "ok", "text/plain")
            else:
                self._answer(404, "there are /metrics and /health", "text/plain")

        def _answer(self, status: int, text: str, kind: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("0.0.0.0", port), Handler)  # noqa: S104 - the networks limit access
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
