"""The table of every Compose key and of every rule (reconciler/data/compose-keys.json), as values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from functools import cache
from typing import Any

from reconciler.formats.packaged import packaged
from reconciler.model.outcome import Level, Reason
from reconciler.values import dataclass

DEEPER = ("build", "deploy")
"""Keys of a service below which the next key's name counts for grants, too."""


class Values(StrEnum):
    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class Rule:
    """`why` it is denied or warned about, and what to do (`hint`). `granted`: the operator may allow it.

    `values`: whether a grant names what it allows (Values.NONE: there is nothing to name); `example` is one of them.
    `stays`: denied even with `trust: owner`.
    """

    id: str
    level: Level
    why: str
    hint: str
    granted: bool = False
    reason: Reason = Reason.POLICY_VIOLATION
    values: Values = Values.NONE
    example: str = ""
    stays: bool = False


@dataclass(frozen=True, slots=True)
class Key:
    """The judgement of one key. `kind`: allow, deny, warn or grant (denied unless the operator allows it).

    `always`: denied with any value; otherwise its value decides.
    """

    path: str
    kind: str
    always: bool = False
    rules: tuple[str, ...] = ()


@dataclass(slots=True)
class Node:
    """One level of the keys: `fields` by name ('*': any name), `items` of a list, `key`: its judgement."""

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
def rules_of_keys() -> Mapping[str, frozenset[str]]:
    """Name of a service's key, or of one below `build` and `deploy` → the rules that it can break, and that a grant
    with this name lifts."""
    found: dict[str, set[str]] = {}
    for path, key in keys().items():
        parts = path.replace("[]", "").split(".")
        if parts[:2] != ["services", "*"]:
            continue
        depth = 4 if parts[2] in DEEPER else 3
        for name in parts[2:depth]:
            found.setdefault(name, set()).update(rule for rule in key.rules if rules()[rule].granted)
    return {name: frozenset(found[name]) for name in found if found[name]}


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
    return Rule(
        name,
        Level(entry["level"]),
        entry["why"],
        entry["hint"],
        entry.get("granted", False),
        reason,
        Values(entry.get("values", Values.NONE)),
        entry.get("example", ""),
        entry.get("stays", False),
    )


@cache
def _data() -> Mapping[str, Any]:
    text = packaged("compose-keys.json")
    data: Mapping[str, Any] = json.loads(text)
    return data
