"""/metrics over HTTP, for Prometheus; reachable on the container's networks only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KIND = "text/plain; version=0.0.4; charset=utf-8"


def family(name: str, kind: str, about: str, samples: Mapping[str, float]) -> Iterator[str]:
    """The lines of one metric. `kind`: gauge or counter. `samples`: labels (`label`, joined by commas) → value."""
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples.items():
        yield f"{name}{{{labels}}} {value!r}" if labels else f"{name} {value!r}"


def label(name: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{name}="{escaped}"'


def serve(port: int, page: Callable[[], str]) -> ThreadingHTTPServer:
    """Serve in a thread of its own until the process ends. Port 0: any free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/metrics"
            body = page().encode() if found else b"there is only /metrics\n"
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", KIND)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("", port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
