"""Looks up keys in the nodes of a Compose file, merge keys (`<<`) included."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.formats.nodes import Mapping, Node, Scalar, Sequence

Pair = tuple[Scalar, Node]

RESET, OVERRIDE = "!reset", "!override"


def pairs(node: Node | None) -> dict[str, Pair]:
    """Key → (key's node, value) of a map as Compose sees it; empty for anything else. Values removed by `!reset` are
    left out.

    Explicit keys win over merged ones, earlier merged maps over later ones.
    """
    found: dict[str, Pair] = {}
    if isinstance(node, Mapping) and node.tag != RESET:
        for key, value in node.pairs:
            if isinstance(key, Scalar) and not _is_merge(key) and value.tag != RESET:
                found[key.text] = (key, value)
        for merged in _merged(node):
            for name, pair in pairs(merged).items():
                found.setdefault(name, pair)
    return found


def find(node: Node | None, name: str) -> Pair | None:
    """The value of one key of a map; None if it does not exist."""
    if not isinstance(node, Mapping):
        return None
    for key, value in node.pairs:
        if isinstance(key, Scalar) and key.text == name and not _is_merge(key):
            return key, value
    for merged in _merged(node):
        if inherited := find(merged, name):
            return inherited
    return None


def items(node: Node | None) -> list[Node]:
    """The items of a list; empty for anything else."""
    return node.items if isinstance(node, Sequence) and node.tag != RESET else []


def words(node: Node | None) -> list[Scalar]:
    """A text, or a list of texts: both forms that Compose accepts in many places."""
    if isinstance(node, Scalar):
        return [] if node.tag == RESET or is_null(node) else [node]
    return [item for item in items(node) if isinstance(item, Scalar)]


def is_null(node: Scalar) -> bool:
    return node.plain and node.text in ("", "~", "null", "Null", "NULL")


def _is_merge(key: Scalar) -> bool:
    return key.plain and key.text == "<<"


def _merged(node: Mapping) -> Iterator[Node]:
    for key, value in node.pairs:
        if isinstance(key, Scalar) and _is_merge(key):
            yield from value.items if isinstance(value, Sequence) else (value,)
