"""`plan`: the steps, what they cost in memory and time, or why there are none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.record.text.layout import Style, exactly, paragraph, plural, share, short, size, table
from reconciler.record.text.words import place, summed

Json = Mapping[str, Any]


def plan(document: Json, style: Style, now: float) -> list[str]:
    lines = [_head(document, style), *_outlook(document, style)]
    if document["steps"]:
        lines += _steps(document, style)
        lines += _costs(document, style)
    if document["violations"]:
        lines += summed(document["violations"], style)
    denied = sum(item["level"] == "deny" for item in document["violations"])
    if denied:
        lines.append(style.paint(f"refused: {plural(denied, 'violation')}; nothing would be touched", "bad"))
    return lines


def _head(document: Json, style: Style) -> str:
    base = f", compared with {short(document['base'])}" if document["base"] not in (None, document["revision"]) else ""
    target = style.paint(short(document["revision"]), "bold")
    steps = plural(len(document["steps"]), "step") if document["changes"] else "nothing to do"
    return f"{document['intent']} to {target}{base}: {steps}"


def _outlook(document: Json, style: Style) -> list[str]:
    """What keeps the commit from being tried, where something does."""
    if document["reason"] in (None, "ReconciliationSucceeded"):
        return []
    what = document["outcome"] or "not tried now"
    lines = paragraph(f"next turn: {style.paint(what, 'bad')}, {document['reason']}: {document['message']}", style)
    return lines + (paragraph(f"hint: {document['hint']}", style) if document["hint"] else [])


def _steps(document: Json, style: Style) -> list[str]:
    rows = [["#", "ACTION", "CONTAINER", "WHY", "MEMORY"]]
    for step in document["steps"]:
        what = step["container"] or place(step["stack"], step["service"]) or "(all)"
        rows.append([str(step["n"]), step["action"], what, step["cause"], size(step["memoryAfterBytes"])])
    return table(rows, style, right=(0, 4), cut=(2,), wrap=3)


def _costs(document: Json, style: Style) -> list[str]:
    lines = []
    if document["restarts"]:
        lines += paragraph(f"replaces {', '.join(document['restarts'])}", style)
    for item in document["downtime"]:
        where = place(item["stack"], item["service"])
        lines += paragraph(f"{where} is down for at most {exactly(item['atMostSeconds'])} while it is judged", style)
    if document["defaults"]:
        told = ", ".join(f"{item['key']} {item['value']}" for item in document["defaults"])
        services = {service for item in document["defaults"] for service in item["services"]}
        lines += paragraph(f"where the files say nothing: {told} ({plural(len(services), 'service')})", style)
    lines.append(f"memory at most {share(document['peakBytes'], document['boundBytes'], 'of')}")
    return lines
