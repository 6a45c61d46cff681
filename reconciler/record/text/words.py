"""Phrases that several documents share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.record.text.layout import ELLIPSIS, Style, exactly, paragraph, share

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

LOST = "volume-made-anew"

COSTS_DATA = frozenset({LOST, "anonymous-volume", "empty-volume-only", "missing-source", "read-only-copy"})
"""Rules whose warnings come first: what a container writes is lost, is not stored, or is never read."""

LEAST = 30
"""A message with room for fewer characters beside its place has a line of its own."""


def word(text: str, style: Style) -> str:
    """One of the contract's words, in its colour."""
    return style.paint(text, LOOKS[text]) if text in LOOKS else text


def place(stack: str | None, service: str | None) -> str:
    """stack/service, as far as known."""
    return "/".join(part for part in (stack, service) if part)


def violations(items: Sequence[Json], style: Style) -> list[str]:
    """Each with its place first, so that editors and terminals can jump there."""
    return [line for item in items for line in _violation(item, style)]


def summed(items: Sequence[Json], style: Style) -> list[str]:
    """Violations in full; of the warnings one line for each rule, with their number and the first place."""
    if style.every:
        return violations(items, style)
    lines = violations([item for item in items if item["level"] == "deny"], style)
    rules = grouped([item for item in items if item["level"] != "deny"], style)
    return [*lines, *rules, "--all: every warning with its hint"] if rules else lines


def grouped(warnings: Sequence[Json], style: Style) -> list[str]:
    """One line for each rule; those that cost data come first."""
    rules: dict[str, list[Json]] = {}
    for item in sorted(warnings, key=lambda item: item["rule"] not in COSTS_DATA):
        rules.setdefault(item["rule"], []).append(item)
    return [line for found in rules.values() for line in _first(found, style)]


def planned(plan: Json) -> list[str]:
    """What an attempt was going to do: a line for each changed service, and the memory."""
    down = {place(item["stack"], item["service"]): item["atMostSeconds"] for item in plan["downtime"]}
    lines = [
        f"{verb} {name}" + (f", down for at most {exactly(down[name])}" if down.get(name) else "")
        for verb, names in (("replace", "restarts"), ("create", "creates"), ("remove", "removes"))
        for name in plan[names]
    ]
    return [*(lines or ["nothing to replace"]), f"memory at most {share(plan['peakBytes'], plan['boundBytes'], 'of')}"]


def services(records: Sequence[Json], style: Style) -> list[str]:
    """What was done to each changed service."""
    return [
        line
        for record in records
        if record["action"] != "Unchanged"
        for line in paragraph(_record(record), style, "  ")
    ]


def failure(item: Json, style: Style) -> list[str]:
    """The last output of the service."""
    where = place(item["stack"], item["service"])
    lines = []
    if item["exitCode"] is not None:
        lines.append(f"  exit code {item['exitCode']}")
    if item["healthOutput"]:
        lines += ["last probe:", *_quote(item["healthOutput"].splitlines(), style)]
    if item["log"]:
        lines += [f"last lines of {where or 'the build'}:", *_quote(item["log"], style)]
    return lines


def _at(item: Json) -> str:
    numbers = [str(item[key]) for key in ("line", "column") if item[key] is not None]
    return ":".join([item["path"] or place(item["stack"], item["service"]) or "(whole commit)", *numbers])


def _first(found: Sequence[Json], style: Style) -> list[str]:
    """The first of the warnings of one rule, on one line; on two if its place is long."""
    at, rule, message = _at(found[0]), found[0]["rule"], found[0]["message"]
    rule = f"{rule} ×{len(found)}" if len(found) > 1 else rule
    head = f"{style.paint(at, 'bold')}: {style.paint('warn', 'warn')} {rule}"
    room = style.width - len(f"{at}: warn {rule}  ")
    if len(message) <= room or room >= LEAST:
        return [f"{head}  {_cut(message, room)}"]
    return [head, f"    {_cut(message, max(style.width - 4, LEAST))}"]


def _cut(message: str, room: int) -> str:
    return message if len(message) <= room else message[: room - 1] + ELLIPSIS


def _violation(item: Json, style: Style) -> list[str]:
    at = _at(item)
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
