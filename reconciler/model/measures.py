"""What was measured of the machine and its containers at one moment. Times are seconds of the Unix epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from reconciler.model.observed import Container
from reconciler.values import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """One running container. `memory`: bytes of its working set. `cpu`: seconds of processor time since its start."""

    memory: int
    cpu: float


@dataclass(frozen=True, slots=True)
class Disk:
    """`mount`: where it is mounted. `holds`: which of our folders lie on it."""

    mount: str
    size: int
    free: int
    holds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine that the monitor runs on. `cpu`: share of all cores since the last look, 0 to 1; sizes in bytes."""

    cpu: float
    memory_total: int
    memory_available: int
    swap_total: int
    swap_used: int
    disks: tuple[Disk, ...] = ()


@dataclass(frozen=True, slots=True)
class Measures:
    """`usage`: container's id → what it uses. `oom_kills`: container's id → since the monitor has started.

    `answered`: the engine answered when `usage` was measured. If it did not, an empty `usage` says nothing.
    """

    at: float
    machine: Machine
    containers: tuple[Container, ...] = ()
    usage: Mapping[str, Usage] = field(default_factory=dict)
    oom_kills: Mapping[str, int] = field(default_factory=dict)
    answered: bool = True
