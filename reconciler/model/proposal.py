"""The proposal of `init`: projects, their limits, and what is left out of git."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from reconciler.values import dataclass


class Origin(StrEnum):
    """Origin of a proposed limit: the Compose file itself, the measured use, or none."""

    KEPT = "kept"
    MEASURED = "measured"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Limit:
    """One service's limit, in bytes for one container. `used`: its largest working set, None if nothing runs."""

    stack: str
    service: str
    bytes: int
    origin: Origin
    used: int | None = None


@dataclass(frozen=True, slots=True)
class Project:
    """One Compose project in a folder. Paths are relative to the folder that will contain desired-state/.

    `env_files`: the files that its variables come from; `env`: variables that may be in git if those files are not.
    `runs`: containers of it exist, under this name.
    """

    name: str
    files: tuple[str, ...]
    folder: str
    profiles: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()
    runs: bool = False
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Left:
    """Compose files that become no stack: the files or their folder, and why."""

    files: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Values:
    """A file (`path`) with variables of a stack that do not belong into git, and what to do about it."""

    path: str
    stack: str
    names: tuple[str, ...]
    hint: str
