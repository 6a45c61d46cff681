"""Results of the admission of a commit, besides its violations: its memory, and its needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.model.documents import Exports
from reconciler.model.outcome import Violation
from reconciler.values import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """Memory of one service. `limit`: bytes of one container; `default`: the file has no limit; `overhead`: bytes of
    each container beside it (`footprint.overhead`).

    `completes`: it runs once and ends, so it uses memory only during a rollout.
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
    """A volume in memory. Its size counts once, however many containers mount it."""

    stack: str
    volume: str
    size: int


@dataclass(frozen=True, slots=True)
class Budget:
    """All in bytes. `over_bytes`: by how much the tighter limit is exceeded, 0 if both are kept."""

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
    """`grants`, `binds`: entries of the agent config with empty reasons; the config is invalid until each has a reason.

    `exports`: stack → everything that it must export. `variables`: stack → names without a value. `others`: denials
    that none of these lifts.
    """

    grants: tuple[Mapping[str, Any], ...]
    binds: tuple[Mapping[str, Any], ...]
    exports: Mapping[str, Exports]
    variables: Mapping[str, tuple[str, ...]]
    others: tuple[Violation, ...]
