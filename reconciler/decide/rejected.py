"""What Compose rejects, with its place in the user's files and, for an unknown key, the one that was meant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from reconciler.decide.scan import Scan
from reconciler.formats.rules import Node, tree
from reconciler.formats.schemas import suggestion
from reconciler.model.outcome import Violation


def placed(violations: Iterable[Violation], scan: Scan) -> tuple[Violation, ...]:
    """The same violations; those that have a pointer and no line get both from the files that were scanned."""
    return tuple(_placed(item, scan) if item.line is None and item.pointer else item for item in violations)


def _placed(violation: Violation, scan: Scan) -> Violation:
    parts = [part.replace("~1", "/").replace("~0", "~") for part in (violation.pointer or "").split("/")[1:]]
    place = scan.locate(*(int(part) if part.isdigit() else part for part in parts))
    meant = _meant(parts)
    hint = f"{meant} {violation.hint}" if meant else violation.hint
    return replace(violation, path=place.path, line=place.line, column=place.column, hint=hint)


def _meant(parts: list[str]) -> str:
    """`Did you mean …?` where the last part is no key of Compose."""
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
