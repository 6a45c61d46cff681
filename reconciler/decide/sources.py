"""What is lowered, and where its mounts lie on the host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.decide.policies.paths import inside as relative
from reconciler.formats.freeze import SHORTEST
from reconciler.model.documents import BindGrant, StackDocument

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Places:
    """Folders of the host in which mounts lie (absolute). `secrets` is None without a secrets_dir.

    `binds`: where the paths that the operator has granted lie on this machine.
    """

    trees: str
    data: str
    secrets: str | None = None
    binds: tuple[BindGrant, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """One stack as Compose rendered it; see loop.ports.Rendered for the fields."""

    document: StackDocument
    model: Json
    root: str
    variables: Mapping[str, str]
    secrets: frozenset[str]

    def conceals(self, text: str) -> bool:
        """Whether a value of the host's secrets_dir is part of the text."""
        values = (self.variables[name] for name in self.secrets)
        return any(len(value) >= SHORTEST and value in text for value in values)


def services_of(source: Source) -> Mapping[str, Json]:
    """name → its canonical model."""
    return source.model.get("services") or {}


def inside(path: str, root: str) -> str:
    """A path below `root` as '/'-separated relative one ('.' for the root itself), by the policies' own reading; any
    other path as it is."""
    below = relative(path, root)
    return path if below is None else below
