"""Finds the place of a value of Compose's canonical model in the user's files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field

from reconciler.decide.read.keys import Pair, items, pairs
from reconciler.formats.nodes import Node, Scalar
from reconciler.values import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """`line` and `column` count from 1."""

    path: str
    line: int
    column: int


ServiceIn = tuple[int, str]
"""(number of the unit, service)"""


@dataclass(frozen=True, slots=True)
class Unit:
    """One use of a Compose file: the folder of its relative paths, and its variables.

    `whole`: all of it counts; otherwise only the services that others extend.
    """

    path: str
    base: str
    root: Node
    variables: Mapping[str, str] = field(default_factory=dict)
    whole: bool = True


class Locator:
    """Finds pointers of the model in units. Later units win; extended services come last."""

    def __init__(self, units: tuple[Unit, ...] = (), extends: Mapping[ServiceIn, ServiceIn] | None = None) -> None:
        self._units = units
        self._extends = extends or {}
        self._pairs: dict[int, dict[str, Pair]] = {}

    def locate(self, pointer: tuple[str | int, ...]) -> Place | None:
        """The key at the pointer, else its deepest ancestor; None if no file has even the first key."""
        best: tuple[int, Place] | None = None
        for unit, path in self._ways(pointer):
            depth, node = self._descend(unit.root, path)
            if node is not None and (best is None or depth > best[0]):
                best = depth, Place(unit.path, node.line, node.column)
        return best[1] if best else None

    def written(self, pointer: tuple[str | int, ...]) -> str | None:
        """The text of the value at the pointer; None if no file has one there."""
        return next((node.text for node in self.nodes(pointer) if isinstance(node, Scalar)), None)

    def nodes(self, pointer: tuple[str | int, ...]) -> Iterator[Node]:
        """Each file's value at the pointer, the one that wins first."""
        for unit, path in self._ways(pointer):
            node = self._at(unit.root, path)
            if node is not None:
                yield node

    def _at(self, root: Node, pointer: tuple[str | int, ...]) -> Node | None:
        node: Node | None = root
        for part in pointer:
            step = self._step(node, part) if node is not None else None
            node = step[1] if step else None
        return node

    def holding(self, text: str) -> Place | None:
        """The only value that contains the text; None if no value does, or several do."""
        found = {
            Place(unit.path, item.line, item.column)
            for unit in self._units
            for item in _scalars(unit.root)
            if text in item.text
        }
        return found.pop() if len(found) == 1 else None

    def _ways(self, pointer: tuple[str | int, ...]) -> Iterator[tuple[Unit, tuple[str | int, ...]]]:
        """The pointer in each unit, each time followed by what its service extends there."""
        service = str(pointer[1]) if len(pointer) > 2 and pointer[0] == "services" else None
        for number in (index for index in reversed(range(len(self._units))) if self._units[index].whole):
            yield self._units[number], pointer
            seen: set[ServiceIn] = set()
            here = self._extends.get((number, service)) if service is not None else None
            while here is not None and here not in seen:
                seen.add(here)
                yield self._units[here[0]], ("services", here[1], *pointer[2:])
                here = self._extends.get(here)

    def _descend(self, root: Node, pointer: tuple[str | int, ...]) -> tuple[int, Node | None]:
        """The number of existing parts of the pointer, and the place of the last one."""
        where: Node | None = None
        node = root
        for depth, part in enumerate(pointer):
            step = self._step(node, part)
            if step is None:
                return depth, where
            where, node = step
        return len(pointer), where

    def _step(self, node: Node, part: str | int) -> tuple[Node, Node] | None:
        held = items(node)
        if isinstance(part, int):
            return (held[part], held[part]) if 0 <= part < len(held) else None
        if id(node) not in self._pairs:
            self._pairs[id(node)] = pairs(node)
        pair = self._pairs[id(node)].get(part)
        return pair or next(((item, item) for item in held if _names(item, part)), None)


def _scalars(root: Node) -> Iterator[Scalar]:
    """Every value below a node, anchors where they are written."""
    waiting, seen = [root], set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Scalar):
            yield node
        waiting += items(node)
        waiting += [value for _, value in pairs(node).values()]


def _names(item: Node, part: str) -> bool:
    """Lists that the model has as maps: `- NAME=value`, `- network`."""
    return isinstance(item, Scalar) and (item.text == part or item.text.startswith((f"{part}=", f"{part}:")))
