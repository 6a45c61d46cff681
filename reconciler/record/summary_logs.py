"""The rows of `logs`, and the document of `logs export`."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.model.logs import LogLine
from reconciler.record.contract import Document, document


def log_line(value: LogLine) -> Document:
    return {
        "time": value.time,
        "stack": value.stack,
        "service": value.service,
        "container": value.container,
        "stream": value.stream,
        "line": value.line,
    }


def log_export(folder: str, counts: Mapping[str, int]) -> Document:
    """`counts`: lines of each file."""
    files = [{"name": name, "lines": lines} for name, lines in sorted(counts.items())]
    return document("LogExport") | {"folder": folder, "files": files}
