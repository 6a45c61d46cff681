"""Keys that are refused wherever they are set, and keys that nobody has judged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reconciler.decide.policies.subject import Finding, Subject
from reconciler.decide.policies.table import Node, tree
from reconciler.formats.yamls import Pointer

_UNSET: tuple[object, ...] = (None, False, "", [], {})


def findings(subject: Subject) -> Iterator[Finding]:
    """Along the whole model, key by key; below a refused key nothing more is said."""
    yield from _walk(subject, tree(), subject.model, ())


def _walk(subject: Subject, node: Node, value: Any, pointer: Pointer) -> Iterator[Finding]:
    if isinstance(value, dict) and node.fields:
        for name, item in value.items():
            yield from _field(subject, node, str(name), item, pointer)
    elif isinstance(value, list) and node.items:
        for index, item in enumerate(value):
            yield from _walk(subject, node.items, item, (*pointer, index))


def _field(subject: Subject, node: Node, name: str, value: Any, pointer: Pointer) -> Iterator[Finding]:
    place = (*pointer, name)
    child = node.child(name)
    if child is None:
        if not name.startswith("x-"):
            yield _finding(subject, place, "unknown-key")
    elif child.key and child.key.always:
        if value not in _UNSET:
            yield _finding(subject, place, child.key.rules[0])
    else:
        yield from _walk(subject, child, value, place)


def _finding(subject: Subject, pointer: Pointer, rule: str) -> Finding:
    inside_service = pointer[0] == "services" and len(pointer) > 2
    service = str(pointer[1]) if inside_service else None
    where = f"service {service}: " if service else ""
    name = ".".join(map(str, pointer[2:] if service else pointer))
    what = f"{name} is not known" if rule == "unknown-key" else f"{name} is set"
    return Finding(subject.stack, rule, pointer, where + what, service)
