"""Findings of `doctor` about a machine."""

from __future__ import annotations

from reconciler.model.engine import Engine
from reconciler.values import dataclass

UNMEASURED = "the engine gives no statistics of its containers"


VERSION_CHECK = "version"
"""The check of the version that the branch asks for."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `ok` None: it could not be made, and `message` says why."""

    name: str
    ok: bool | None
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """`engine`: as it states itself. `measured`: whether it reports the memory use of containers; None if none runs."""

    engine: Engine
    measured: bool | None = None


@dataclass(frozen=True, slots=True)
class LogFacts:
    """`driver`: the engine's default for logs; `bounded`: whether it deletes old lines, None if that cannot be seen
    from here. `growing`: names of managed containers whose logs grow without bound; `others`: number of other such
    containers."""

    driver: str
    bounded: bool | None
    growing: tuple[str, ...] = ()
    others: int = 0


@dataclass(frozen=True, slots=True)
class Published:
    """A port of a running container. `address`: '' is every address. `managed`: the container is the agent's own, so a
    commit asked for the port, and a grant or `trust: owner` allowed it."""

    container: str
    address: str
    port: int
    managed: bool
