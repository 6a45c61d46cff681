#!/usr/bin/python3
"""Listens on each port of $PORTS and answers every request with its own arguments."""

import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"stand-in {' '.join(sys.argv[1:])}\n".encode())


signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
servers = [ThreadingHTTPServer(("", int(port)), Answer) for port in os.environ["PORTS"].split()]
for server in servers:
    threading.Thread(target=server.serve_forever, daemon=True).start()
signal.sigwait({signal.SIGTERM, signal.SIGINT})
