"""`hooks`: each hook and its state, or what is in the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.record.text.layout import Style, paragraph, table

Json = Mapping[str, Any]


def hooks(document: Json, style: Style, now: float) -> list[str]:
    rows = [["HOOK", "STATE", ""]]
    rows += [[item["name"], item["state"], _before(item)] for item in document["hooks"]]
    lines = [f"in {style.paint(document['folder'], 'bold')}", *table(rows, style)]
    lines += [line for message in document["messages"] for line in paragraph(message, style)]
    return lines


def _before(item: Json) -> str:
    if not item["before"]:
        return ""
    return "has replaced ours" if item["state"] == "foreign" else "calls the one before it"
