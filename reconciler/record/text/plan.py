"""`plan`: the steps, what they cost in memory and time, or why there are none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.model.documents import START_FIRST
from reconciler.record.text.layout import Style, exactly, paragraph, plural, share, short, size, table
from reconciler.record.text.words import place, summed

Json = Mapping[str, Any]


WOULD = {"Held": "hold", "Rejected": "reject", None: "not try"}


def plan(document: Json, style: Style, now: float) -> list[str]:
    """Without `reason` the turn begins with the steps, and only the rollout can tell the outcome."""
    kept_from = document["reason"] is not None and document["outcome"] != "Unchanged"
    lines = _kept_from(document, style) if kept_from else []
    if document["steps"] or not kept_from:
        lines.append(_head(document, style))
    if not kept_from:
        lines += _told(document, style)
    if document["steps"]:
        lines += _steps(document, style)
        lines += _costs(document, style)
    return lines + summed(document["violations"], style)


def _head(document: Json, style: Style) -> str:
    base = f", compared with {short(document['base'])}" if document["base"] not in (None, document["revision"]) else ""
    target = style.paint(short(document["revision"]), "bold")
    steps = plural(len(document["steps"]), "step") if document["changes"] else "nothing to do"
    return f"{document['intent']} to {target}{base}: {steps}"


def _kept_from(document: Json, style: Style) -> list[str]:
    """Why the commit would not be tried; the message of a rejected one is its first violation."""
    verb = style.paint(WOULD[document["outcome"]], "bad" if document["outcome"] == "Rejected" else "warn")
    commit = "the commit" if document["steps"] else style.paint(short(document["revision"]), "bold")
    commit += "" if document["outcome"] else " now"
    then = "correct last good" if document["steps"] else "change nothing"
    lines = [f"a turn would {verb} {commit} ({document['reason']}) and {then}"]
    if any(item["level"] == "deny" for item in document["violations"]):
        return lines
    return lines + _told(document, style)


def _told(document: Json, style: Style) -> list[str]:
    lines = paragraph(document["message"], style) if document["message"] not in ("", "nothing to do") else []
    return lines + (paragraph(f"what to do: {document['hint']}", style) if document["hint"] else [])


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
        lines += paragraph(_downtime(item), style)
    if document["defaults"]:
        told = ", ".join(f"{item['key']} {item['value']}" for item in document["defaults"])
        services = {service for item in document["defaults"] for service in item["services"]}
        lines += paragraph(f"where the files say nothing: {told} ({plural(len(services), 'service')})", style)
    lines.append(f"memory at most {share(document['peakBytes'], document['boundBytes'], 'of')}")
    return lines


def _downtime(item: Json) -> str:
    where = place(item["stack"], item["service"])
    if item["order"] == START_FIRST:
        return f"{where} is replaced start-first, without downtime"
    why = f"; it is replaced stop-first, because {item['why']}" if item["why"] else ""
    untried = f"; it gets no trial, because {item['untried']}" if item["untried"] else ""
    return f"{where} is down for at most {exactly(item['atMostSeconds'])} while it is judged{why}{untried}"
