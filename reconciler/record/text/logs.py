"""`logs`: when, which service, what it has printed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]

COLOURS = ("36", "33", "32", "35", "34", "31")
"""Of the terminal; services take them in turn."""


class LogText:
    """One row after the other. Names are aligned as far as those are known that came before."""

    def __init__(self) -> None:
        self._colours: dict[str, str] = {}
        self._width = 0

    def __call__(self, row: Json, colour: bool) -> str:
        name = f"{row['stack']}/{row['service']}"
        if name not in self._colours:
            self._colours[name] = COLOURS[len(self._colours) % len(COLOURS)]
            self._width = max(self._width, len(name))
        padded = f"{row['time'][5:10]} {row['time'][11:19]} {name:<{self._width}} |"
        return f"\x1b[{self._colours[name]}m{padded}\x1b[0m {row['line']}" if colour else f"{padded} {row['line']}"
