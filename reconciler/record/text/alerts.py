"""`alerts`: what is active, oldest first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.record.text.layout import Style, since, table

Json = Mapping[str, Any]


def alerts(document: Json, style: Style, now: float) -> list[str]:
    found = document["alerts"]
    if not found:
        return ["no alert is active"]
    rows = [["SINCE", "ALERT", "WHAT"]]
    rows += [[since(item["since"], now), style.paint(item["name"], "bad"), item["message"]] for item in found]
    return table(rows, style, wrap=2)
