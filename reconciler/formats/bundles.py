"""Grants and binds that common kinds of services need together (reconciler/data/bundles.json)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache

from reconciler.formats.packaged import packaged
from reconciler.values import dataclass


@dataclass(frozen=True, slots=True)
class Bundle:
    """`grants`: (rule, values). `binds`: (path, whether it is only read). `purpose`: kinds of services it is for, for
    people."""

    purpose: str
    grants: tuple[tuple[str, tuple[str, ...]], ...]
    binds: tuple[tuple[str, bool], ...]


@cache
def bundles() -> Mapping[str, Bundle]:
    """Every bundle by its name, in the order of the manual."""
    text = packaged("bundles.json")
    return {
        name: Bundle(
            entry["purpose"],
            tuple((item["policy"], tuple(item.get("values", ()))) for item in entry["grants"]),
            tuple((item["path"], item.get("read_only", True)) for item in entry["binds"]),
        )
        for name, entry in json.loads(text).items()
    }
