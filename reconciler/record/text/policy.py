"""`policy unused`: each entry that can go, with its reason below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.record.text.layout import Style, paragraph, plural, table

Json = Mapping[str, Any]


def policy_use(document: Json, style: Style, now: float) -> list[str]:
    found, total, days = document["unused"], document["entries"], document["days"]
    if not found:
        return [f"no grant or bind of {total} has been unused for {days} days"]
    head, *rows = table(
        [["ENTRY", "STACK", "SERVICE", "VALUES", "LAST USED"], *map(_row, found)], style, cut=(0, 1, 2, 3)
    )
    lines = [head]
    for row, item in zip(rows, found, strict=True):
        lines += [row, *paragraph(item["reason"], style, "  ")]
    told = (
        f"{plural(len(found), 'entry', 'entries')} of {total} unused for {days} days: remove them from the agent's "
        "config. A commit that needs one again is refused, and told what to write."
    )
    return [*lines, *paragraph(told, style)]


def _row(item: Json) -> list[str]:
    entry = f"bundle {item['bundle']}" if item["bundle"] else item["policy"] or "bind"
    values = item["path"] or ", ".join(item["values"])
    last = (item["lastUsedAt"] or item["firstSeenAt"]).partition("T")[0]
    last = last if item["lastUsedAt"] else f"never, since {last}"
    return [entry, item["stack"], item["service"], values, last]
