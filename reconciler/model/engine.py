"""What the engine of this machine is, and what it can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, field, fields, replace
from typing import Any

from reconciler.values import dataclass

SKEW = 5.0
"""Seconds by which the engine's clock may differ: health and logs are judged by its times."""

HOST, VM, REMOTE = "host", "vm", "remote"
"""Where the engine runs: on this machine, in a virtual machine of it, or behind tcp:// or ssh://."""


@dataclass(frozen=True, slots=True)
class Engine:
    """The engine's abilities, as it states them itself.

    `api`: the version of its API that we speak; `oldest_api`, `newest_api`: those that it speaks. `limits`: whether
    the kernel enforces memory limits of containers; without them a limit is accepted and has no effect. `swap`:
    whether swap is counted; without it a container may use its limit once more as swap. `ahead`: seconds by which
    its clock is ahead of ours. `memory`: bytes of its machine.

    `compose`: version, '' if it was not looked at. `seen`: folder of this machine → whether containers see it, None
    if that could not be tried.
    """

    product: str
    version: str
    api: str
    oldest_api: str
    newest_api: str
    rootless: bool
    storage: str
    cgroup: str
    limits: bool
    swap: bool
    machine: str
    memory: int
    ahead: float = 0.0
    compose: str = ""
    seen: Mapping[str, bool | None] = field(default_factory=dict)

    @property
    def is_skewed(self) -> bool:
        return abs(self.ahead) > SKEW

    @property
    def unseen(self) -> tuple[str, ...]:
        """Folders that containers do not see."""
        return tuple(path for path, seen in self.seen.items() if seen is False)

    def differs(self, other: Engine | None) -> bool:
        """Whether the engine's state has changed for a person. A clock that runs on is no change."""
        if other is None or self.is_skewed != other.is_skewed:
            return True
        return replace(self, ahead=0.0) != replace(other, ahead=0.0)


def joined(now: Engine, known: Engine | None) -> Engine:
    """`now`, with facts that only a longer look has found."""
    if known is None:
        return now
    return replace(
        now,
        oldest_api=now.oldest_api or known.oldest_api,
        newest_api=now.newest_api or known.newest_api,
        compose=now.compose or known.compose,
        seen=now.seen or known.seen,
    )


_NAMES = {
    "api": "apiVersion",
    "oldest_api": "oldestApiVersion",
    "newest_api": "newestApiVersion",
    "storage": "storageDriver",
    "cgroup": "cgroupVersion",
    "limits": "memoryLimits",
    "swap": "swapLimits",
    "memory": "memoryBytes",
    "ahead": "clockAheadSeconds",
    "compose": "composeVersion",
    "seen": "folders",
}
"""Fields with another name in documents and in the journal."""


def record_of(engine: Engine) -> dict[str, Any]:
    """The engine in the form of the journal and of the documents; unknown is null."""
    found = {_NAMES.get(name, name): value for name, value in asdict(engine).items()}
    return found | {
        "composeVersion": engine.compose or None,
        "clockAheadSeconds": round(engine.ahead, 1) + 0.0,  # never -0.0
        "folders": [{"path": path, "visible": seen} for path, seen in engine.seen.items()],
    }


def engine_of(record: Mapping[str, Any]) -> Engine | None:
    """The reverse of `record_of`; None if another version has written fewer fields."""
    names = {item.name: _NAMES.get(item.name, item.name) for item in fields(Engine)}
    if not record.keys() >= set(names.values()):
        return None
    found = {field: record[name] for field, name in names.items()}
    seen = {item["path"]: item["visible"] for item in record["folders"]}
    return Engine(**found | {"compose": record["composeVersion"] or "", "seen": seen})
