"""The entries that a commit needs to be admitted: as few as possible, without allowing much more than it needs."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from reconciler.decide.admit.policies.leave import entry
from reconciler.formats.grants import root_path
from reconciler.model.admission import Needs
from reconciler.model.documents import NO_EXPORTS, NOTHING_ALLOWED, BindGrant, Exports, Grant, Permissions
from reconciler.model.needs import Export, Variable
from reconciler.model.outcome import Level, Violation

TREE = 3
"""If a stack needs at least this number of paths, one entry for the folder around them is written."""

DATA = frozenset({"/Volumes", "/data", "/media", "/mnt", "/srv", "/storage"})
"""Folders below / that contain only people's data. Elsewhere, an entry is for a folder at least two levels deep."""


def needs(
    violations: Iterable[Violation],
    permissions: Permissions = NOTHING_ALLOWED,
    exported: Mapping[str, Exports] | None = None,
) -> Needs:
    """`permissions`: those that the violations were found with. `exported`: stack → what it exports already."""
    denied = [item for item in violations if item.level is Level.DENY]
    asked = list(dict.fromkeys(item.need for item in denied))
    return Needs(
        tuple(_written(item) for item in _grants(item for item in asked if isinstance(item, Grant))),
        tuple(_written(item) for item in _binds([item for item in asked if isinstance(item, BindGrant)], permissions)),
        _exports([item for item in asked if isinstance(item, Export)], exported or {}),
        _variables(item for item in asked if isinstance(item, Variable)),
        tuple(item for item in denied if item.need is None),
    )


def _written(item: Grant | BindGrant) -> Mapping[str, Any]:
    return {**entry(item), "reason": item.reason}


def _grants(asked: Iterable[Grant]) -> Iterable[Grant]:
    """One entry for all values of a rule that one service needs."""
    values: dict[Grant, dict[str, None]] = defaultdict(dict)
    for item in asked:
        values[replace(item, values=())] |= dict.fromkeys(item.values)
    return [replace(item, values=tuple(found)) for item, found in values.items()]


def _binds(asked: Sequence[BindGrant], permissions: Permissions) -> Iterable[BindGrant]:
    """Pinned entries, and entries with another path on the machine, are not merged."""
    plain = [item for item in asked if item.pin is None and item.host == item.path]
    groups: dict[tuple[str, bool, str], list[BindGrant]] = defaultdict(list)
    for item in plain:
        around = _data_folder(item.path, permissions)
        if around:
            groups[item.stack, item.read_only, around].append(item)
    trees = [tree for group in groups.values() if (tree := _tree(group, permissions)) is not None]
    kept = [*trees, *(item for item in asked if item not in plain), *plain]
    return [item for item in kept if not any(_says(other, item) for other in kept if other is not item)]


def _data_folder(path: str, permissions: Permissions) -> str | None:
    """The largest folder around the path that may be allowed as a whole; None if there is none.

    None, too, if the config already has an entry inside that folder, because there the longer path decides.
    """
    parts = path.split("/")[1:]
    folders = ("/" + "/".join(parts[:depth]) for depth in range(1, len(parts)))
    for folder in folders:
        deep_enough = folder in DATA or folder.count("/") > 1
        free = not any(_below(grant.path, folder) for grant in permissions.binds)
        if deep_enough and free and not root_path(folder, read_only=False, own=permissions.own):
            return folder
    return None


def _tree(group: Sequence[BindGrant], permissions: Permissions) -> BindGrant | None:
    paths = {item.path for item in group}
    if len(paths) < TREE:
        return None
    services = {item.service for item in group}
    path = posixpath.commonpath(paths)
    return replace(group[0], path=path, host=path, service=services.pop() if len(services) == 1 else "*")


def _says(one: BindGrant, other: BindGrant) -> bool:
    """Whether `one` allows everything that `other` allows, so that `other` is not needed.

    A path that is only read stays read-only if just one service needs to write around it.
    """
    if one.pin is not None or other.pin is not None or one.host != one.path or other.host != other.path:
        return False
    where = one.stack == other.stack and one.service in ("*", other.service)
    wider = (one.path, one.service) != (other.path, other.service) or other.read_only > one.read_only
    return where and wider and _below(other.path, one.path) and one.read_only <= other.read_only


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")


def _exports(asked: Sequence[Export], exported: Mapping[str, Exports]) -> Mapping[str, Exports]:
    found = {}
    for stack in dict.fromkeys(item.stack for item in asked):
        before = exported.get(stack, NO_EXPORTS)
        keys = {
            kind: tuple(dict.fromkeys([*had, *(i.key for i in asked if (i.stack, i.kind) == (stack, kind))]))
            for kind, had in (("networks", before.networks), ("volumes", before.volumes))
        }
        found[stack] = Exports(**keys)
    return found


def _variables(asked: Iterable[Variable]) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for item in asked:
        found[item.stack] = (*found.get(item.stack, ()), item.name)
    return found
