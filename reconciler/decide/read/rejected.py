"""Adds the place in the user's files to Compose's errors and, for an unknown key, a suggestion."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from reconciler.decide.read.scan import Scan
from reconciler.formats.rules import Node, tree
from reconciler.formats.schemas import suggestion
from reconciler.model.outcome import Violation

_INVALID = (
    re.compile(r"\bInvalid ip address (\S+): address "),
    re.compile(r'\bunsupported env_file format "([^"]+)"'),
    re.compile(r"\b[Ii]nvalid [A-Za-z ]+: ([^\s:]\S*?)(?:: | and |$)"),
    re.compile(r"\b[Ii]nvalid [A-Za-z ]+?:? ([^\s:]\S*?)(?:: |$)"),
)
"""`Invalid hostPort: 70000`, `Invalid ip address x: …`: messages of Compose that name a value and no place."""

_RAW = 'unsupported env_file format "raw"'
_SPANS = ("interval", "timeout", "start_period", "start_interval", "stop_grace_period")


def placed(violations: Iterable[Violation], scan: Scan) -> tuple[Violation, ...]:
    """The violations, each with a place if possible. Those without a line get one from the scanned files: by our
    own reading of the env file or by their pointer, else by the value that Compose calls invalid."""
    return tuple(_placed(item, scan) if item.line is None else item for item in violations)


def _placed(violation: Violation, scan: Scan) -> Violation:
    # Compose 2.26 does not name the env file. Templates in Compose files were judged before.
    unnamed = "Invalid template" in violation.message and not violation.pointer and len(scan.invalid) == 1
    why = scan.invalid.get(violation.path or "") or (next(iter(scan.invalid.values())) if unnamed else None)
    if why is not None:
        hint = f"{why.hint} {violation.hint}"
        return replace(violation, path=why.path, line=why.line, column=why.column, hint=hint)
    if not violation.pointer:
        values = (found[1] for pattern in _INVALID if (found := pattern.search(violation.message)))
        held = next(filter(None, map(scan.holding, values)), None)
        hint = f"Compose 2.30 and later know `raw`. {violation.hint}" if _RAW in violation.message else violation.hint
        return replace(violation, path=held.path, line=held.line, column=held.column, hint=hint) if held else violation
    parts = [part.replace("~1", "/").replace("~0", "~") for part in (violation.pointer or "").split("/")[1:]]
    place = scan.locate(*(int(part) if part.isdigit() else part for part in parts))
    meant = _meant(parts) or _form(parts[-1], violation.message)
    hint = f"{meant} {violation.hint}" if meant else violation.hint
    return replace(violation, path=place.path, line=place.line, column=place.column, hint=hint)


def _form(key: str, message: str) -> str:
    """How a value is written that YAML reads as a number or a date, where Compose wants text."""
    if "must be a string" not in message and "invalid jsonType time.Time" not in message:
        return ""
    return "Write it with a unit (30s)." if key in _SPANS else "Put the value into quotes."


def _meant(parts: list[str]) -> str:
    """`Did you mean …?` if the last part is no key of Compose."""
    node: Node | None = tree()
    for part in parts[:-1]:
        node = _step(node, part)
    if node is None or not node.fields or node.child(parts[-1]) is not None:
        return ""
    return suggestion(parts[-1], [name for name in node.fields if name != "*"])


def _step(node: Node | None, part: str) -> Node | None:
    if node is None:
        return None
    return node.items if node.items is not None and part.isdigit() else node.child(part)
