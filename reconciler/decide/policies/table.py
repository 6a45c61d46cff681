"""The table of every Compose key and of every rule (reconciler/data/compose-keys.json), as values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from reconciler.model.outcome import Level, Reason


@dataclass(frozen=True, slots=True)
class Rule:
    """`why` it is refused or warned about, and what to do (`hint`). `granted`: the operator may allow it."""

    id: str
    level: Level
    why: str
    hint: str
    granted: bool = False
    reason: Reason = Reason.POLICY_VIOLATION


@dataclass(frozen=True, slots=True)
class Key:
    """How one key is judged. `kind`: allow, deny, hygiene or grant (refused unless the operator allows it).

    `always`: refused wherever it is set, whatever its value; otherwise its value decides.
    """

    path: str
    kind: str
    always: bool = False
    rules: tuple[str, ...] = ()


@dataclass(slots=True)
class Node:
    """One level of the keys: `fields` by name ('*': any name), `items` of a list, `key` what is said of it."""

    key: Key | None = None
    fields: dict[str, Node] = field(default_factory=dict)
    items: Node | None = None

    def child(self, name: str) -> Node | None:
        """The node of a key; Compose writes some of them (blkio_config) with a capital."""
        return self.fields.get(name) or self.fields.get("*") or self.fields.get(name.lower())


@cache
def rules() -> Mapping[str, Rule]:
    """Every rule by its id, in the order of the manual."""
    return {name: _rule(name, entry) for name, entry in _data()["rules"].items()}


@cache
def keys() -> Mapping[str, Key]:
    """Every key of the Compose specification by its path, such as `services.*.ports[].host_ip`."""
    return {
        path: Key(path, entry["class"], entry.get("refused") == "always", tuple(entry.get("rules", ())))
        for path, entry in _data()["keys"].items()
    }


@cache
def tree() -> Node:
    """The keys as a tree, to walk a model along."""
    root = Node()
    for path, key in keys().items():
        _grow(root, path).key = key
    return root


def _grow(node: Node, path: str) -> Node:
    for name in path.replace("[]", ".[]").split("."):
        if name == "[]":
            node.items = node.items or Node()
            node = node.items
        else:
            node = node.fields.setdefault(name, Node())
    return node


def _rule(name: str, entry: Mapping[str, Any]) -> Rule:
    reason = Reason(entry.get("reason", Reason.POLICY_VIOLATION))
    return Rule(name, Level(entry["level"]), entry["why"], entry["hint"], entry.get("granted", False), reason)


@cache
def _data() -> Mapping[str, Any]:
    text = files("reconciler").joinpath("data/compose-keys.json").read_text(encoding="utf-8")
    data: Mapping[str, Any] = json.loads(text)
    return data
