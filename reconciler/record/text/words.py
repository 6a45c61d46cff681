"""Phrases that several documents share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.record.text.layout import Style, exactly, paragraph

Json = Mapping[str, Any]

LOOKS = {
    "Synced": "good",
    "Healthy": "good",
    "Succeeded": "good",
    "Progressing": "warn",
    "Suspended": "warn",
    "OutOfSync": "warn",
    "Held": "warn",
    "Superseded": "dim",
    "Unchanged": "dim",
    "Unknown": "dim",
    "Done": "good",
    "Waiting": "warn",
    "Refused": "bad",
    "Missing": "bad",
    "Degraded": "bad",
    "Rejected": "bad",
    "RolledBack": "bad",
    "RollbackFailed": "bad",
    "Failed": "bad",
}


def word(text: str, style: Style) -> str:
    """One of the contract's words, in its colour."""
    return style.paint(text, LOOKS[text]) if text in LOOKS else text


def place(stack: str | None, service: str | None) -> str:
    """stack/service, as far as they are known."""
    return "/".join(part for part in (stack, service) if part)


def violations(items: Sequence[Json], style: Style) -> list[str]:
    """Each with its place first, so that editors and terminals can jump there."""
    return [line for item in items for line in _violation(item, style)]


def services(records: Sequence[Json], style: Style) -> list[str]:
    """What was done to each service that was not left alone."""
    return [
        line
        for record in records
        if record["action"] != "Unchanged"
        for line in paragraph(_record(record), style, "  ")
    ]


def failure(item: Json, style: Style) -> list[str]:
    """What the service itself said last."""
    where = place(item["stack"], item["service"])
    lines = []
    if item["exitCode"] is not None:
        lines.append(f"  exit code {item['exitCode']}")
    if item["healthOutput"]:
        lines += ["last probe:", *_quote(item["healthOutput"].splitlines(), style)]
    if item["log"]:
        lines += [f"last lines of {where}:", *_quote(item["log"], style)]
    return lines


def _violation(item: Json, style: Style) -> list[str]:
    numbers = [str(item[key]) for key in ("line", "column") if item[key] is not None]
    at = ":".join([item["path"] or place(item["stack"], item["service"]) or "(whole commit)", *numbers])
    level = item["level"]
    first, *more = paragraph(f"{at}: {level} {item['rule']}  {item['message']}", style, after="    ")
    painted = style.paint(level, "bad" if level == "deny" else "warn")
    first = first.replace(at, style.paint(at, "bold"), 1).replace(f": {level} ", f": {painted} ", 1)
    hint = paragraph(f"hint: {item['hint']}", style, "    ") if item["hint"] else []
    return [first, *more, *hint]


def _record(record: Json) -> str:
    text = f"{record['action']} {place(record['stack'], record['service'])}"
    return f"{text}, down for {exactly(record['downtimeSeconds'])}" if record["downtimeSeconds"] else text


def _quote(lines: Sequence[str], style: Style) -> list[str]:
    return [f"  {style.paint('|', 'dim')} {line}" for line in lines]
