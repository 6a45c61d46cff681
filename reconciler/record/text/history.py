"""`history`: a line for each attempt; a single attempt with all its details."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.record.text.layout import Style, exactly, paragraph, short, since, table
from reconciler.record.text.words import failure, grouped, place, planned, services, word

Json = Mapping[str, Any]


def history(document: Json, style: Style, now: float) -> list[str]:
    attempts = document["attempts"]
    if not attempts:
        return ["no attempts are recorded", *_requests(document["requests"], style, now)]
    lines = table(_rows(attempts, style, now), style, right=(4,), wrap=5)
    lines += _details(attempts[0], style) if len(attempts) == 1 else []
    return lines + _requests(document["requests"], style, now)


def listed(attempts: Sequence[Json], style: Style, now: float) -> list[str]:
    """A head, and exactly one line for each attempt; what happened is cut."""
    return table(_rows(attempts, style, now), style, right=(4,), cut=(5,))


def _rows(attempts: Sequence[Json], style: Style, now: float) -> list[list[str]]:
    return [["WHEN", "COMMIT", "INTENT", "OUTCOME", "TOOK", "WHAT"], *(_row(item, style, now) for item in attempts)]


def _requests(requests: Sequence[Json], style: Style, now: float) -> list[str]:
    if not requests:
        return []
    rows = [["WHEN", "ASKED", "COMMIT", "ANSWER", "WHAT"]]
    rows += [
        [f"{since(item['at'], now)} ago", item["verb"], short(item["revision"]), word(item["outcome"], style),
         ": ".join(part for part in (item["message"], item["reason"]) if part)]
        for item in requests
    ]  # fmt: skip
    return ["", *table(rows, style, wrap=4)]


def _row(item: Json, style: Style, now: float) -> list[str]:
    took = "-" if item["durationSeconds"] is None else exactly(item["durationSeconds"])
    when = f"{since(item['startedAt'], now)} ago"
    return [when, short(item["revision"]), item["intent"], word(item["outcome"], style), took, _what(item)]


def _what(item: Json) -> str:
    if item["reason"] == "DriftCorrected":
        return str(item["message"])
    if item["outcome"] != "Succeeded":
        return ": ".join(part for part in (item["reason"], item["message"]) if part)
    touched = [row for row in item["services"] if row["action"] != "Unchanged"]
    return ", ".join(f"{row['action']} {place(row['stack'], row['service'])}" for row in touched) or item["message"]


def _details(item: Json, style: Style) -> list[str]:
    lines = [f"commit   {item['revision']}", f"attempt  {item['id'] or 'none: it was not tried'}"]
    if item["before"]:
        lines.append(f"before   {item['before']}")
    if item["revertedTo"]:
        lines.append(f"back to  {item['revertedTo']}")
    lines += [part for line in item["lines"] for part in paragraph(line, style, "  ")]
    lines += grouped(item["warnings"], style)
    if item["plan"] is not None:
        lines += ["plan:", *(part for line in planned(item["plan"]) for part in paragraph(line, style, "  ", "    "))]
        lines += ["done:"] if any(row["action"] != "Unchanged" for row in item["services"]) else []
    lines += services(item["services"], style)
    if item["failure"] is not None:
        lines += [*paragraph(item["failure"]["message"], style), *failure(item["failure"], style)]
    return lines
