"""Services that wait for each other, or share each other's namespaces, in a circle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from reconciler.decide.admit.policies.subject import Finding, Json, Subject
from reconciler.formats.compose_names import NAMESPACES
from reconciler.formats.yamls import Pointer


def findings(subject: Subject) -> Iterator[Finding]:
    """Each circle once, at its first service by name."""
    services: Mapping[str, Json] = subject.model.get("services") or {}
    edges = {name: _references(service or {}) for name, service in services.items()}
    told: set[frozenset[str]] = set()
    for name in sorted(edges):
        circle = _circle(edges, name)
        if circle and frozenset(circle) not in told:
            told.add(frozenset(circle))
            path = " → ".join((*circle, name))
            key = edges[name][circle[1] if len(circle) > 1 else name]
            pointer = ("services", name, *key)
            yield Finding(subject.stack, "dependency-cycle", pointer, f"services refer in a circle: {path}", name)


def _references(service: Json) -> dict[str, Pointer]:
    """Service that is referred to → the places of the references."""
    found: dict[str, Pointer] = {}
    for index, source in enumerate(service.get("volumes_from") or ()):
        if not str(source).startswith("container:"):
            found[str(source).partition(":")[0]] = ("volumes_from", index)
    for key in NAMESPACES:
        kind, _, name = str(service.get(key) or "").partition(":")
        if kind == "service":
            found[name] = (key,)
    for name in service.get("depends_on") or {}:
        found[name] = ("depends_on", name)
    return found


def _circle(edges: Mapping[str, Mapping[str, Pointer]], start: str) -> list[str]:
    """The shortest path from `start` back to itself, without the return; empty if there is none."""
    ways: list[list[str]] = [[start]]
    seen: set[str] = set()
    for way in ways:
        for target in sorted(edges.get(way[-1], {})):
            if target == start:
                return way
            if target not in seen:
                seen.add(target)
                ways.append([*way, target])
    return []
