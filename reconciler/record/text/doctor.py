"""`doctor`: a line for each check, with the remedy if it failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.record.text.layout import Style, table

Json = Mapping[str, Any]

_WORDS = {True: ("ok", "good"), False: ("WRONG", "bad"), None: ("-", "dim")}


def doctor(document: Json, style: Style, now: float) -> list[str]:
    rows = []
    for item in document["checks"]:
        rows.append([item["name"], style.paint(*_WORDS[item["ok"]]), item["message"]])
        if item["hint"]:
            rows.append(["", "", f"what to do: {item['hint']}"])
    return table(rows, style, wrap=2)
