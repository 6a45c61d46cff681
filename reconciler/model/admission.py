"""What the admission of a commit comes to, beside its violations: its memory, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.model.documents import Exports
from reconciler.model.outcome import Violation


@dataclass(frozen=True, slots=True)
class Row:
    """What one service may take. `limit`: bytes of one container; `default`: the file names no limit; `overhead`: bytes
    that each container takes beside it (`footprint.overhead`).

    `completes`: it runs once and ends, so it takes memory during a rollout only.
    """

    stack: str
    service: str
    replicas: int
    limit: int
    default: bool
    completes: bool = False
    overhead: int = 0

    @property
    def total(self) -> int:
        return self.replicas * (self.limit + self.overhead)


@dataclass(frozen=True, slots=True)
class MemoryVolume:
    """A volume in memory: its size counts once, whoever mounts it."""

    stack: str
    volume: str
    size: int


@dataclass(frozen=True, slots=True)
class Budget:
    """All in bytes. `over_bytes`: by how much the tighter limit is exceeded, 0 where both are kept."""

    budget_bytes: int
    steady_limit_bytes: int
    reserve_bytes: int
    steady_bytes: int
    peak_bytes: int
    over_bytes: int
    rows: tuple[Row, ...]
    volumes: tuple[MemoryVolume, ...] = ()


@dataclass(frozen=True, slots=True)
class Needs:
    """`grants`, `binds`: entries of the agent config, their reasons empty, which it refuses until one is written.

    `exports`: stack → all that it is to export. `variables`: stack → names that are not set. `others`: denials that
    none of it lifts.
    """

    grants: tuple[Mapping[str, Any], ...]
    binds: tuple[Mapping[str, Any], ...]
    exports: Mapping[str, Exports]
    variables: Mapping[str, tuple[str, ...]]
    others: tuple[Violation, ...]
