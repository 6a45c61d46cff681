"""Values of Compose's canonical model in a form that Compose can read again. `docker compose config` prints some that
it rejects itself (2.26 to 2.40): tests/act/test_round_trip.py tries every key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]

_SIZES = ("mem_swappiness", "memswap_limit")
"""Sizes for which -1 has a meaning. Compose prints it as a text, and reads it only as a number."""


def readable(config: Json) -> dict[str, Any]:
    """The body of one service. Values that Compose could not read are written in a form that it reads."""
    found = dict(config)
    for key in _SIZES:
        if found.get(key) == "-1":
            found[key] = -1
    if found.get("environment"):
        # Compose would take the value of a name without one from the environment of the process that starts it.
        found["environment"] = {name: value for name, value in found["environment"].items() if value is not None}
    if found.get("ulimits"):
        found["ulimits"] = {name: _ulimit(item) for name, item in found["ulimits"].items()}
    if found.get("blkio_config"):
        found["blkio_config"] = {key: _devices(item) for key, item in found["blkio_config"].items()}
    limits = ((found.get("deploy") or {}).get("resources") or {}).get("limits")
    if limits and found.get("mem_limit") and not limits.get("memory"):
        found["deploy"] = _limited(found["deploy"], found["mem_limit"])
    return found


def _ulimit(item: Any) -> Any:
    """Zeros are left out when they are printed."""
    if not isinstance(item, Mapping):
        return item
    return {"soft": item.get("soft", 0), "hard": item.get("hard", 0)} if item else 0


def _devices(item: Any) -> Any:
    """Keys are printed with a capital, and read without one."""
    return [{key.lower(): value for key, value in entry.items()} for entry in item] if isinstance(item, list) else item


def _limited(deploy: Json, memory: Any) -> dict[str, Any]:
    """2.40 rejects `mem_limit` beside limits under `deploy` with another memory."""
    resources = deploy["resources"]
    return {**deploy, "resources": {**resources, "limits": {**resources["limits"], "memory": str(memory)}}}
