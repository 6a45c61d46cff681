"""A service that needs a second to start and ends gracefully. `/slow` takes 0.3 s; with BROKEN set, `/health` fails."""

import os
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/slow":
            time.sleep(0.3)
        self.send_response(500 if self.path == "/health" and os.environ.get("BROKEN") else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Log nothing: it would be a hundred lines per second."""


class Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128


if __name__ == "__main__":
    time.sleep(1)
    with Server(("", 8080), Handler) as server:
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
        server.serve_forever(poll_interval=0.05)
