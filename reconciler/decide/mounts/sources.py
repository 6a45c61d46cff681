"""What is lowered, and where its mounts lie on the host."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.decide.mounts.mount_paths import inside as relative
from reconciler.formats.freeze import SHORTEST
from reconciler.model.documents import BindGrant, StackDocument

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Places:
    """Folders of the host in which mounts lie (absolute). `secrets` is None without a secrets_dir.

    `binds`: where the paths that the operator has granted lie on this machine. `seal`: makes of a digest that depends
    on secrets one by which nobody can guess them.
    """

    trees: str
    data: str
    secrets: str | None = None
    binds: tuple[BindGrant, ...] = ()
    seal: Callable[[str], str] = str


@dataclass(frozen=True, slots=True)
class Source:
    """One stack as Compose rendered it; see loop.ports.Rendered for the fields."""

    document: StackDocument
    model: Json
    root: str
    variables: Mapping[str, str]
    secrets: Mapping[str, bytes]

    def conceals(self, *texts: str) -> bool:
        """Whether a value of the host's secrets_dir is part of one of the texts."""
        values = [value for name in self.secrets if len(value := self.variables[name]) >= SHORTEST]
        return any(value in text for value in values for text in texts)


def services_of(source: Source) -> Mapping[str, Json]:
    """name → its canonical model."""
    return source.model.get("services") or {}


def texts_of(value: Any) -> Iterator[str]:
    """Every text in a document, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from texts_of(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts_of(item)


def inside(path: str, root: str) -> str:
    """A path below `root` as '/'-separated relative one ('.' for the root itself), by the policies' own reading; any
    other path as it is."""
    below = relative(path, root)
    return path if below is None else below
