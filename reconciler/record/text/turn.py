"""`once`: the outcome of the turn, what it did to the services, output of the failed one, and what to do now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.record.text.layout import Style, exactly, paragraph, plural, short
from reconciler.record.text.words import failure, grouped, place, services, violations, word

Json = Mapping[str, Any]

HINTS = {
    "Rejected": "nothing was touched; fix the commit and push again",
    "RolledBack": "fix it and push a new commit; this one is not tried again",
    "RollbackFailed": "look at the services above; push a commit that works, nothing is tried before",
    "Interrupted": "start again: the next turn goes on from what is there",
    "Failed": "the commit is not to blame; it is tried again later",
}


def turn(document: Json, style: Style, now: float) -> list[str]:
    lines = [_head(document, style), *_already_ran(document, style)]
    # The message of a rejected commit is its first violation.
    if not any(item["level"] == "deny" for item in document["violations"]):
        lines += paragraph(document["message"], style)
    lines += violations(document["violations"], style)
    lines += _way_back(document, style)
    lines += grouped(document["warnings"], style)
    lines += services(document["services"], style)
    if document["failure"] is not None:
        lines += failure(document["failure"], style)
    hint = document["hint"] or HINTS.get(document["outcome"], "")
    return lines + (paragraph(f"what to do: {hint}", style) if hint else [])


def _head(document: Json, style: Style) -> str:
    revision = style.paint(short(document["revision"]), "bold")
    outcome = word(document["outcome"], style)
    told = document["reason"] not in (None, "ReconciliationSucceeded")
    reason = f" ({document['reason']})" if told else ""
    cost = f"{exactly(document['durationSeconds'])}, {plural(document['effects'], 'effect')}"
    return f"{revision}  {outcome}{reason} after {cost}"


def _already_ran(document: Json, style: Style) -> list[str]:
    """One-shots of a rolled-back commit that did run: their effects stay, so this line comes first."""
    if document["outcome"] not in ("RolledBack", "RollbackFailed"):
        return []
    ran = [place(item["stack"], item["service"]) for item in document["services"] if item["action"] == "RanOnce"]
    return [style.paint(f"migration {name} already ran", "warn") for name in ran if name not in document["message"]]


def _way_back(document: Json, style: Style) -> list[str]:
    """The present state of the machine, unless the message says it already."""
    told, back_to = document["message"], document["revertedTo"]
    if back_to and short(back_to) not in told:
        return [f"the machine went back to {short(back_to)}"]
    if document["outcome"] == "RolledBack" and not back_to and "nothing ran before" not in told:
        return paragraph("nothing ran before: what it started was stopped, volumes were kept", style)
    return []
