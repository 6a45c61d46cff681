#!/usr/bin/python3 -u
"""Serves one page: the template in /srv/page, filled from the database.

``server.py --check`` is the health check. It requests the page from the running server, without counting a visit.
If that fails, it prints why.
"""

import html
import os
import re
import signal
import sys
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg2

PAGE = Path("/srv/page/page.html")
PORT = 8080


def facts(count_visit: bool) -> dict[str, str]:
    """The values that a template may name, read from the database."""
    connection = psycopg2.connect(
        host="db", dbname="shop", user="shop", password=os.environ["SHOP_DB_PASSWORD"], connect_timeout=2
    )
    try:
        with connection, connection.cursor() as cursor:
            if count_visit:
                cursor.execute("UPDATE visits SET number = number + 1")
            cursor.execute("SELECT words, number FROM greeting, visits")
            words, visits = cursor.fetchone()
    finally:
        connection.close()
    return {"words": words, "visits": str(visits)}


def render(count_visit: bool) -> str:
    """The page as HTML. ValueError if the template names an unknown value: the page never has an empty place."""
    known = facts(count_visit)

    def fill(match: re.Match[str]) -> str:
        if match[1] not in known:
            raise ValueError(f"page.html names '{match[1]}'; there are only: {', '.join(sorted(known))}")
        return html.escape(known[match[1]])

    return re.sub(r"{{\s*(\w+)\s*}}", fill, PAGE.read_text(encoding="utf-8"))


class Handler(BaseHTTPRequestHandler):
    """``/`` counts a visit, ``/health`` does not; both render the whole page."""

    trouble = ""

    def do_GET(self) -> None:
        try:
            status, body = 200, render(count_visit=self.path == "/")
        except (OSError, ValueError, psycopg2.Error) as problem:
            status, body = 500, f"{problem}\n"
        self.tell(body.strip() if status == 500 else "")
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(body.encode())

    def tell(self, trouble: str) -> None:
        """Log a problem once when it begins, not once per request. '' ends it."""
        if trouble and trouble != Handler.trouble:
            print(f"cannot render the page: {trouble}")
        Handler.trouble = trouble

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing: the health check alone would fill the log."""


def check() -> int:
    """The exit code of the health check: 0, or 1 with the reason on stdout."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=2).close()
    except urllib.error.HTTPError as answer:
        print(answer.read().decode().strip())
        return 1
    except OSError as problem:
        print(problem)
        return 1
    return 0


class Server(ThreadingHTTPServer):
    """Before it ends, it answers the requests that it has accepted."""

    daemon_threads = False

    def stop(self, _signal: int, _frame: object) -> None:
        """The handler of SIGTERM. The first process of a container needs one: without it the signal has no effect."""
        threading.Thread(target=self.shutdown).start()


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(check())
    print(f"serving {PAGE} on port {PORT}")
    with Server(("", PORT), Handler) as server:
        signal.signal(signal.SIGTERM, server.stop)
        server.serve_forever(poll_interval=0.1)
