"""`logs`: when, which service, what it has printed. `logs export`: which files it has written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.record.text.layout import Style, middle

Json = Mapping[str, Any]

COLOURS = ("36", "33", "32", "35", "34", "31")
"""Of the terminal; services take them in turn."""


class LogText:
    """Formats one row after the other. Names are aligned to the longest that came before. `widest`: columns of a name;
    None: as it is."""

    def __init__(self, widest: int | None = None) -> None:
        self._widest = widest
        self._colours: dict[str, str] = {}
        self._width = 0

    def __call__(self, row: Json, colour: bool) -> str:
        name = f"{row['stack']}/{row['service']}"
        name = name if self._widest is None else middle(name, self._widest)
        if name not in self._colours:
            self._colours[name] = COLOURS[len(self._colours) % len(COLOURS)]
            self._width = max(self._width, len(name))
        padded = f"{row['time'][5:10]} {row['time'][11:19]} {name:<{self._width}} |"
        return f"\x1b[{self._colours[name]}m{padded}\x1b[0m {row['line']}" if colour else f"{padded} {row['line']}"


def log_export(document: Json, style: Style, now: float) -> list[str]:
    if not document["files"]:
        return [f"{document['folder']}: no service has printed anything in this time"]
    return [f"{item['lines']:>9} lines  {document['folder']}/{item['name']}" for item in document["files"]]
