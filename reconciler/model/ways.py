"""Paths of the host, as they were walked."""

from __future__ import annotations

from reconciler.values import dataclass

Identity = tuple[int, int]
"""Device and inode: identify one object of the file system under any name."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why nothing may be mounted from a path, and what a person can do."""

    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Way:
    """One path. `passed`: the folders in which a name was looked up on the way to the target. `end`: the target; None
    if it does not exist, or only the engine can see it."""

    passed: frozenset[Identity] = frozenset()
    end: Identity | None = None
    obstacle: Obstacle | None = None

    def lies_in(self, other: Way) -> bool:
        """Whether somebody who can write to the other path decides where this one leads."""
        return other.end is not None and other.end in self.passed
