"""Keys that are always denied, and keys that no rule knows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from reconciler.decide.admit.policies.subject import Finding, Subject
from reconciler.formats.grants import normal
from reconciler.formats.rules import Node, Values, rules, tree
from reconciler.formats.yamls import Pointer

_GPU_DRIVERS = frozenset({"", "nvidia", "amd"})
_GPU = frozenset({"amd", "compat32", "compute", "display", "gpu", "graphics", "ngx", "nvidia", "utility", "video"})
"""Abilities of graphics cards, as the runtimes of nvidia and AMD name them."""

_UNSET: tuple[object, ...] = (None, False, "", [], {})


def findings(subject: Subject) -> Iterator[Finding]:
    """Walks the whole model key by key. Below a denied key nothing more is reported."""
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
            yield from _refused(subject, place, child.key.rules[0], value)
    else:
        yield from _walk(subject, child, value, place)


def _refused(subject: Subject, pointer: Pointer, rule: str, value: Any) -> Iterator[Finding]:
    """One finding for each value that a grant would name."""
    if rules()[rule].values is Values.NONE:
        yield _finding(subject, pointer, rule)
    elif pointer[-1] == "external":
        name = str(((subject.model.get(str(pointer[0])) or {}).get(pointer[1]) or {}).get("name") or pointer[1])
        yield replace(_finding(subject, pointer, rule, name), value=name)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            for name in _names(rule, item):
                yield replace(_finding(subject, (*pointer, index), rule, name), value=name)
    else:
        yield replace(_finding(subject, pointer, rule, str(value)), value=normal(rule, str(value)))


def _names(rule: str, item: Any) -> Iterator[str]:
    """The name that a grant uses for an item of a list."""
    if not isinstance(item, dict):
        yield normal(rule, str(item))
    elif "source" in item:
        yield normal(rule, str(item["source"]))
    else:
        yield from _reserved(item)


def _reserved(item: dict[str, Any]) -> Iterator[str]:
    """Devices that are requested by an ability: `gpu`, unless the request says more."""
    driver, abilities = str(item.get("driver") or ""), [str(name) for name in item.get("capabilities") or ()]
    if driver == "cdi":
        yield from map(str, item.get("device_ids") or ["cdi"])
    elif driver in _GPU_DRIVERS and set(abilities) <= _GPU and not item.get("options"):
        yield "gpu"
    else:
        options = f" {item['options']}" if item.get("options") else ""
        yield f"{driver or 'any'}:{'+'.join(sorted(abilities))}{options}"


def _finding(subject: Subject, pointer: Pointer, rule: str, value: str = "") -> Finding:
    inside_service = pointer[0] == "services" and len(pointer) > 2
    service = str(pointer[1]) if inside_service else None
    where = f"service {service}: " if service else ""
    name = ".".join(map(str, pointer[2:] if service else pointer))
    what = f"{name} is not known" if rule == "unknown-key" else f"{name} is {value or 'set'}"
    return Finding(subject.stack, rule, pointer, where + what, service)
