"""What `init` proposes: projects, their limits, and what is left out of git."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Origin(StrEnum):
    """Where a proposed limit comes from: the Compose file itself, what runs, or nowhere."""

    KEPT = "kept"
    MEASURED = "measured"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Limit:
    """One service's limit, in bytes for one container. `used`: its largest working set, None where nothing runs."""

    stack: str
    service: str
    bytes: int
    origin: Origin
    used: int | None = None


@dataclass(frozen=True, slots=True)
class Project:
    """One Compose project as it lies in a folder. Paths are relative to that in which desired-state/ will stand.

    `env_files`: those that its variables come from; `env`: what of that may stand in git where they do not. `runs`:
    containers of it are there, under this name.
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
    """What is no stack of the proposal: its files or its folder, and why."""

    files: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Values:
    """A file (`path`) with variables of a stack that do not belong into git, and what to do about it."""

    path: str
    stack: str
    names: tuple[str, ...]
    hint: str
