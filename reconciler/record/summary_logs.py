"""The rows of `logs`."""

from __future__ import annotations

from reconciler.model.logs import LogLine
from reconciler.record.contract import Document


def log_line(value: LogLine) -> Document:
    return {
        "time": value.time,
        "stack": value.stack,
        "service": value.service,
        "container": value.container,
        "stream": value.stream,
        "line": value.line,
    }
