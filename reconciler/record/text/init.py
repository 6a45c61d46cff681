"""`init`: the limits, the files, what the first turn would do, and what is next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.record.text.layout import Style, paragraph, plural, size, table
from reconciler.record.text.needs import needs
from reconciler.record.text.words import place, violations

Json = Mapping[str, Any]

_ORIGINS = {
    "kept": "as in the Compose file",
    "measured": "twice what it uses now",
    "default": "not measured: the default",
}
_TRUST = {
    "owner": "trust: owner: who can push has the operator's rights, so denials that a grant could lift are warnings; "
    "write strangers into the agent config before others may push",
    "strangers": "trust: strangers: a commit needs a grant for each denied setting; write owner into the agent config "
    "if only you can push",
}


def init(document: Json, style: Style, now: float) -> list[str]:
    if document["bare"]:
        return [*(f"made {style.paint(path, 'bold')}" for path in document["files"]), *document["notes"]]
    rows = [_row(item) for stack in document["stacks"] for item in stack["services"]]
    lines = table([["STACK", "SERVICE", "USED", "LIMIT", ""], *rows], style, right=(2, 3), cut=(0, 1)) if rows else []
    for path in document["files"]:
        lines.append(f"wrote {style.paint(path, 'bold')}")
    lines += violations([item for item in document["violations"] if item["level"] == "deny"], style)
    for item in document["restarts"]:
        causes = "; ".join(item["causes"])
        lines += paragraph(f"{place(item['stack'], item['service'])} would be replaced: {causes}", style)
    for item in document["left"]:
        named = "" if item["reason"].startswith(item["files"][0]) else f"{', '.join(item['files'])}: "
        lines += paragraph(f"left out: {named}{item['reason']}", style)
    for item in document["values"]:
        names = f"{', '.join(item['names'][:12])}{', …' if len(item['names']) > 12 else ''}"
        lines += paragraph(f"{item['path']} ({item['stack']}): {names}. {item['hint']}", style)
    lines += [line for note in document["notes"] for line in paragraph(note, style)]
    for reason in document["skipped"]:
        lines += paragraph(f"not known: {reason}", style)
    if document["trust"] and document["files"]:
        lines += paragraph(_TRUST[document["trust"]], style)
    if document["needs"]:
        lines += needs({**document["needs"], "others": []}, style)  # those stand among the violations
    if document["adopt"]:
        names = ", ".join(document["adopt"])
        lines += paragraph(f"add to the agent config: adopt: [{names}] (else their first turn is held)", style)
    return [*lines, *paragraph(_verdict(document), style)]


def _row(item: Json) -> list[str]:
    used = size(item["usedBytes"])
    return [item["stack"], item["service"], used, size(item["limitBytes"]), _ORIGINS[item["origin"]]]


def _verdict(document: Json) -> str:
    denied = sum(item["level"] == "deny" for item in document["violations"])
    if not document["files"]:
        why = f"{plural(denied, 'violation')} in the Compose files" if denied else "no stack is left"
        return f"nothing was written: {why}"
    if denied:
        return f"a turn would refuse this for {plural(denied, 'violation')} and touch nothing; fix it, then commit"
    if document["restarts"]:
        return "look through the files, commit those of the repository, then `reconciler plan`"
    return "look through the files, commit those of the repository, then `reconciler once`"
