"""What Compose made of a stack's files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.model.outcome import Violation

NO_HOME = "/nonexistent"
"""What `~` is in a model, unless the stack's variables have a HOME: the same on every machine, and nobody's."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A stack as Compose understands it. `root` is where the commit's files lay while Compose read them.

    In `model` a `$` stands for itself: what Compose prints doubled is undone, and done again where it reads.
    `model` is empty when `violations` has one of level deny. `variables` are those that Compose could read;
    `secrets`: those among them that come from secrets_dir, with their bytes as they are there.
    """

    model: Mapping[str, Any]
    root: str
    violations: tuple[Violation, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, bytes] = field(default_factory=dict)
