"""`validate`: every violation with its place, the warnings by rule, the memory; or the needs of the commit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.record.text.layout import Style, paragraph, plural, share, size, table
from reconciler.record.text.needs import needs
from reconciler.record.text.words import summed

Json = Mapping[str, Any]


def validation(document: Json, style: Style, now: float) -> list[str]:
    if document["needs"] is not None:
        return [*needs(document["needs"], style), _verdict(document, style)]
    lines = summed(document["violations"], style)
    if document["budget"] is not None:
        lines += budget_table(document["budget"], style)
    for reason in document["skipped"]:
        lines += paragraph(f"not checked: {reason}", style)
    return [*lines, _verdict(document, style)]


def budget_table(budget: Json, style: Style) -> list[str]:
    """The memory of each service, and of all together."""
    lines = []
    if budget["rows"]:
        rows = [["STACK", "SERVICE", "LIMIT", ""]] + [_row(row) for row in budget["rows"]]
        lines += table(rows, style, right=(2,), cut=(0, 1))
    bound = budget["budgetBytes"] - budget["reserveBytes"]
    steady = share(budget["steadyBytes"], budget["steadyLimitBytes"], "of")
    beside = sum(row["replicas"] * row["overheadBytes"] for row in budget["rows"])
    if beside:
        lines.append(f"beside the limits {size(beside)}, to run containers and publish ports")
    for item in budget["volumes"]:
        lines.append(f"volume in memory {item['stack']}/{item['volume']}: {size(item['sizeBytes'])}")
    lines.append(f"steady {steady}, peak {share(budget['peakBytes'], bound, 'of')}")
    if budget["overBytes"]:
        lines.append(style.paint(f"over by {size(budget['overBytes'])}", "bad"))
    return lines


def _row(row: Json) -> list[str]:
    times = f"{row['replicas']} × " if row["replicas"] != 1 else ""
    remark = "default: the file sets no limit" if row["default"] else ""
    return [row["stack"], row["service"], times + size(row["limitBytes"]), remark]


def _verdict(document: Json, style: Style) -> str:
    denied = sum(item["level"] == "deny" for item in document["violations"])
    warned = len(document["violations"]) - denied
    counts = [plural(denied, "violation")] * bool(denied) + [plural(warned, "warning")] * bool(warned)
    word = style.paint("valid", "good") if document["valid"] else style.paint("not valid", "bad")
    return ": ".join([word, ", ".join(counts)]) if counts else word
