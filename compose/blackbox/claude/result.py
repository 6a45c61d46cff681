"""Reads the result of a run of Claude Code from its output."""

from __future__ import annotations

import json
from typing import Any


def last_result(printed: str) -> dict[str, Any] | None:
    """The last event of type `result`, or None."""
    for line in reversed(printed.splitlines()):
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and event.get("type") == "result":
            return event
    return None
