"""`bootstrap`: the changes with their commands, the checks, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.record.text.doctor import checks
from reconciler.record.text.layout import Style, paragraph, plural

Json = Mapping[str, Any]


def bootstrap(document: Json, style: Style, now: float) -> list[str]:
    host, outcome = document["host"], document["outcome"]
    lines = _changes(document, style) if outcome == "rehearsed" else []
    if outcome == "refused":
        lines.append(f"{style.paint('nothing was changed', 'bad')} on {host}:")
    if outcome == "done":
        count = len(document["changes"])
        lines.append(f"{host}: {plural(count, 'change') + ' made' if count else 'nothing had to be changed'}")
    lines += checks(document["checks"], style)
    for note in document["notes"]:
        lines += paragraph(f"note: {note}", style)
    for number, step in enumerate(document["next"], 1):
        told, _, copied = step.partition(": ")  # what is to be copied stays whole
        lines += [
            *paragraph(f"{number}. {told}{':' if copied else ''}", style),
            *([f"     {copied}"] if copied else []),
        ]
    return lines


def _changes(document: Json, style: Style) -> list[str]:
    if not document["changes"]:
        refused = any(item["ok"] is False for item in document["checks"])
        return [] if refused else [f"{document['host']}: nothing would be changed"]
    lines = [f"would change {document['host']}:"]
    for number, item in enumerate(document["changes"], 1):
        lines += paragraph(f"{number}. {style.paint(item['sentence'], 'bold')}", style)
        lines += [f"     {style.paint(line, 'dim')}" for command in item["commands"] for line in command.splitlines()]
    return lines
