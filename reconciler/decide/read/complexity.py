"""Estimates Compose's work for a stack: Compose expands every port of a range, and follows every path of
dependencies."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter

from reconciler.decide.read.compose_files import ComposeFiles, expand
from reconciler.decide.read.keys import items, pairs, words
from reconciler.decide.read.places import Place, ServiceIn, Unit
from reconciler.formats.compose_names import NAMESPACES
from reconciler.formats.nodes import Node, Scalar
from reconciler.formats.yamls import json_pointer
from reconciler.model.outcome import Reason, Violation

RULE = "too-complex"
MOST_SERVICES = 1_000
MOST_PORTS = 10_000
MOST_WAYS = 200_000
"""Paths between services along their dependencies; Compose walks a million in a second."""

Locate = Callable[..., Place]

_RANGE = re.compile(r"([0-9]{1,5})-([0-9]{1,5})")


def too_complex(read: ComposeFiles, stack: str, locate: Locate) -> Iterator[Violation]:
    """The violations. `read` has none itself: files and copies are within their own limits."""

    def told(message: str, hint: str, *pointer: str) -> Violation:
        at = locate("services", *pointer)
        return Violation(
            Reason.PARSE_FAILED, RULE, message, hint, at.path, at.line, at.column,
            pointer=json_pointer(("services", *pointer)), stack=stack, service=pointer[0] if pointer else None,
        )  # fmt: skip

    services = _services(read)
    if len(services) > MOST_SERVICES:
        last = list(services)[MOST_SERVICES]
        yield told(f"the stack has more than {MOST_SERVICES} services", "Split it into several stacks.", last)
        return
    ports = 0
    for name, parts in services.items():
        ports += sum(_ports(unit, node) for unit, node in parts)
        if ports > MOST_PORTS:
            yield told(f"the stack's ports are more than {MOST_PORTS}", "Publish fewer ports.", name, "ports")
            break
    crowded = _crowded({name: _dependencies(parts) for name, parts in services.items()})
    if crowded is not None:
        message = f"the dependencies form more than {MOST_WAYS} paths between services"
        yield told(message, "Let each service name only its direct dependencies.", crowded, "depends_on")


Parts = list[tuple[Unit, Node]]


def _services(read: ComposeFiles) -> dict[str, Parts]:
    """Each service with all nodes that define it, those that it extends included."""
    found: dict[str, Parts] = {}
    for number, unit in enumerate(read.units):
        for name in read.used[number] if unit.whole else ():
            parts = found.setdefault(name, [])
            here: ServiceIn | None = (number, name)
            while here is not None:
                if here[1] in read.used[here[0]]:
                    parts.append((read.units[here[0]], read.used[here[0]][here[1]]))
                here = read.extends.get(here)
    return found


def _ports(unit: Unit, node: Node) -> int:
    service = pairs(node)
    listed = [item for key in ("ports", "expose") if key in service for item in items(service[key][1])]
    return sum(_length(unit, item) for item in listed)


def _length(unit: Unit, item: Node) -> int:
    """Ports that one entry stands for."""
    published = pairs(item).get("published")
    text = published[1] if published else item
    ranges = _RANGE.findall((expand(unit, text) or "") if isinstance(text, Scalar) else "")
    return max((int(last) - int(first) + 1 for first, last in ranges), default=1)


def _dependencies(parts: Parts) -> set[str]:
    found: set[str] = set()
    for unit, node in parts:
        said = {key: value for key, (_, value) in pairs(node).items()}
        found |= set(pairs(said.get("depends_on"))).union(_texts(unit, said.get("depends_on")))
        for key in ("links", "volumes_from"):
            found |= {text.partition(":")[0] for text in _texts(unit, said.get(key))}
        for key in (*NAMESPACES, "uts"):
            shared = _texts(unit, said.get(key))
            found |= {text.removeprefix("service:") for text in shared if text.startswith("service:")}
    return found


def _texts(unit: Unit, node: Node | None) -> Iterator[str]:
    return (text for text in (expand(unit, word) for word in words(node)) if text)


def _crowded(graph: dict[str, set[str]]) -> str | None:
    """The first service at which the paths exceed the limit; None if they do not. Compose reports circles itself."""
    try:
        order = tuple(TopologicalSorter(graph).static_order())
    except CycleError:
        return None
    ways: dict[str, int] = {}
    total = 0
    for name in order:
        ways[name] = 1 + sum(ways[other] for other in graph.get(name, ()))
        total += ways[name]
        if total > MOST_WAYS:
            return name
    return None
