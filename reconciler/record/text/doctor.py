"""`doctor`: a line for each check, with the remedy if it failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.record.text.layout import Style, table

Json = Mapping[str, Any]

_WORDS = {True: ("ok", "good"), False: ("WRONG", "bad"), None: ("-", "dim")}


def doctor(document: Json, style: Style, now: float) -> list[str]:
    return checks(document["checks"], style)


def checks(items: Sequence[Json], style: Style) -> list[str]:
    """A line for each; none for no checks."""
    rows = []
    for item in items:
        first, *more = [*item["message"].splitlines(), *item.get("said", ())] or [""]
        rows.append([item["name"], style.paint(*_WORDS[item["ok"]]), first])
        rows += [["", "", line] for line in more]
        if item["hint"]:
            rows.append(["", "", f"what to do: {item['hint']}"])
    return table(rows, style, wrap=2) if rows else []
