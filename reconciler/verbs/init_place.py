"""Input of `init`: the place, the engine and the first turn; and its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path

from reconciler.model.admission import Needs
from reconciler.model.files import Files
from reconciler.model.observed import Container, Started
from reconciler.model.outcome import Violation
from reconciler.model.proposal import Left, Limit, Project
from reconciler.values import dataclass
from reconciler.verbs.init_values import Kept


@dataclass(frozen=True, slots=True)
class Running:
    """Facts from the engine: running containers, bytes that they use, its memory.

    `present`: Compose projects with a container, network or volume that no agent has made. `missing` says why nothing
    is known if the engine does not answer.
    """

    containers: Sequence[Container] = ()
    usage: Mapping[str, int] | None = None
    memory: int | None = None
    missing: str = ""
    present: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Place:
    """Destination of the files. `folder` contains the projects and is `base` in the repository ('' is its root).

    `config`: the agent config to write, None if one exists. `adopt`: projects that commits may take over by that one.
    `source`: for a new one, and `trust`: its `trust`. `secrets`: the folder for what must not be in git, None if the
    existing config has none. `files`: the present content of a commit, without the first paths and with the second
    ones, which git ignores. `tracked` None: there is no repository yet.
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
    """`started`: the projects that plain Compose has started. `look`: observes the projects with these names."""

    started: Callable[[], Sequence[Started]]
    look: Callable[[Sequence[str]], Running]


@dataclass(frozen=True, slots=True)
class Judged:
    """The outcome of the first turn. `needs`: what would admit the commit, None if nothing was written.

    `notes`: why the turn would not try it.
    """

    violations: Sequence[Violation] = ()
    restarts: Sequence[tuple[str, str, Sequence[str]]] = ()
    skipped: Sequence[str] = ()
    needs: Needs | None = None
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """The result. `left`: projects that are left out; `notes`: what a person should know about the names."""

    projects: Sequence[Project] = ()
    limits: Sequence[Limit] = ()
    left: Sequence[Left] = ()
    notes: Sequence[str] = ()
    kept: Kept = field(default_factory=Kept)
    adopt: Sequence[str] = ()
