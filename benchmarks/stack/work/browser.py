"""A user who reads pages through Playwright's MCP server: open, read, click, read again, every few seconds."""

from __future__ import annotations

import json
import time

from benchmarks.stack.load import Load

CLIENT = "library-1"
PAGE = "http://library:8080/"
"""The host is not called "page": browsers load names that end in "page" only over HTTPS."""


def run(load: Load) -> None:
    calls = (
        ("browser_navigate", {"url": PAGE}),
        ("browser_snapshot", {}),
        ("browser_evaluate", {"function": "() => { document.querySelector('button').click(); return document.title }"}),
        ("browser_snapshot", {}),
    )
    asked = " ".join(f"tools/call {_quoted({'name': name, 'arguments': given})}" for name, given in calls)
    while not load.pause(3.0):
        begun = time.monotonic()
        told = load.stack.host.exec(CLIENT, f"python3 /srv/mcp.py http://mcp-playwright:8931/mcp {asked}")
        if "Pressed" not in told:
            load.problems.append(f"the browser shows something else: {told[:300]}")
        load.counts["pages looked at"] += 1
        load.times["browser session"].append(time.monotonic() - begun)


def _quoted(value: object) -> str:
    """The value as JSON in single quotes for the shell."""
    return "'" + json.dumps(value).replace("'", "'\\''") + "'"
