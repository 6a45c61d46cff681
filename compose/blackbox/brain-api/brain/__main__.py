"""`python -m brain`: serves until SIGTERM. `python -m brain healthy`: exit 0 when it is ready, for health checks."""

from __future__ import annotations

import http.client
import sys

import uvicorn

from brain.app import create_app
from brain.logs import set_up_logs
from brain.settings import Settings


def serve() -> None:
    set_up_logs()
    uvicorn.run(
        create_app(Settings.from_environment()), host="0.0.0.0", port=8000,  # noqa: S104 - networks say who reaches it
        loop="uvloop", http="httptools", log_config=None, access_log=False, timeout_graceful_shutdown=20,
    )  # fmt: skip


def healthy() -> int:
    connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=4)
    connection.request("GET", "/health/ready")
    answer = connection.getresponse()
    print(answer.read().decode())
    return 0 if answer.status == 200 else 1


if __name__ == "__main__":
    if sys.argv[1:] == ["healthy"]:
        sys.exit(healthy())
    serve()
