"""`python -m tests.stack.model_stub [--port 8900] [--address 127.0.0.1]` serves until SIGTERM."""

from __future__ import annotations

import argparse
import signal
import threading

from .server import Server

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("--port", type=int, default=8900)
options.add_argument("--address", default="127.0.0.1")
given = options.parse_args()
ended = threading.Event()
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: ended.set())
with Server(given.port, given.address) as server:
    print(f"the stub answers at {server.url}", flush=True)
    ended.wait()
