"""Compose's canonical model of a stack's files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from reconciler.model.outcome import Violation
from reconciler.values import dataclass

NO_HOME = "/nonexistent"
"""The value of `~` in a model, unless the stack's variables have a HOME: the same on every machine."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A stack as Compose understands it. `root`: the folder of the commit's files when Compose read them.

    In `model` a `$` stands for itself: it is not doubled as in Compose's output, and is doubled again before Compose
    reads it. `model` is empty if `violations` has one of level deny. `variables` are those that Compose could read;
    `secrets`: those among them that come from secrets_dir, with the bytes that they have there.
    """

    model: Mapping[str, Any]
    root: str
    violations: tuple[Violation, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, bytes] = field(default_factory=dict)
