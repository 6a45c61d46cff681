"""Paths of the host, as they were walked."""

from __future__ import annotations

from dataclasses import dataclass

Identity = tuple[int, int]
"""Device and inode: one thing of the file system, by whatever name."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why nothing may be mounted from a path, and what a person can do."""

    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Way:
    """One path. `passed`: the folders in which something was looked up on the way to what it names. `end`: what it
    names; None where nothing is there, or where only the engine can see it."""

    passed: frozenset[Identity] = frozenset()
    end: Identity | None = None
    obstacle: Obstacle | None = None

    def lies_in(self, other: Way) -> bool:
        """Whether who may write to the other one decides where this one leads."""
        return other.end is not None and other.end in self.passed
