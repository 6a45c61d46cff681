"""What `init` is told of the place, the engine and the first turn, and what it proposes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.model.admission import Needs
from reconciler.model.files import Files
from reconciler.model.observed import Container, Started
from reconciler.model.outcome import Violation
from reconciler.model.proposal import Left, Limit, Project
from reconciler.verbs.init_values import Kept


@dataclass(frozen=True, slots=True)
class Running:
    """What the engine says: containers that run, bytes they use, its memory.

    `present`: Compose projects that have a container, a network or a volume which no agent has made.
    `missing` says why nothing is known, where the engine does not answer.
    """

    containers: Sequence[Container] = ()
    usage: Mapping[str, int] | None = None
    memory: int | None = None
    missing: str = ""
    present: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Place:
    """Where the files go. `folder` holds the projects and is `base` in the repository ('' is its root).

    `config`: the agent config to write, None where one is in force. `adopt`: what that one lets commits take over
    already. `source`: what goes into a new one, and `trust`: what it says of those who push. `secrets`: the folder for
    what must not be in git, None where the config in force has none. `files`: what a commit would hold now, without
    the first paths and with the second ones, which git ignores. `tracked` None: there is no repository yet.
    """

    folder: Path
    base: str
    host: str
    config: Path | None
    trust: str
    source: Mapping[str, str]
    state: str
    files: Callable[[Sequence[str], Sequence[str]], Files]
    tracked: frozenset[str] | None
    secrets: str | None
    adopt: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Engine:
    """`started`: the projects that plain Compose has started. `look`: at those of these names."""

    started: Callable[[], Sequence[Started]]
    look: Callable[[Sequence[str]], Running]


@dataclass(frozen=True, slots=True)
class Judged:
    """What the first turn would make of it. `needs`: what would admit it, None where nothing was written.

    `notes`: why the turn would not try it.
    """

    violations: Sequence[Violation] = ()
    restarts: Sequence[tuple[str, str, Sequence[str]]] = ()
    skipped: Sequence[str] = ()
    needs: Needs | None = None
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """What is proposed. `left`: what is no part of it; `notes`: what a person should know of its names."""

    projects: Sequence[Project] = ()
    limits: Sequence[Limit] = ()
    left: Sequence[Left] = ()
    notes: Sequence[str] = ()
    kept: Kept = field(default_factory=Kept)
    adopt: Sequence[str] = ()
