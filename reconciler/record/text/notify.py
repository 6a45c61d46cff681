"""`notify test`: a line for each target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.record.text.layout import Style, table

Json = Mapping[str, Any]

_WORDS = {True: ("ok", "good"), False: ("FAILED", "bad")}


def notify_test(document: Json, style: Style, now: float) -> list[str]:
    rows = [[item["url"], style.paint(*_WORDS[item["ok"]]), item["message"]] for item in document["targets"]]
    return table(rows, style, wrap=2)
