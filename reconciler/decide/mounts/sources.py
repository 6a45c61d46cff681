"""The input of lowering, and the places of its mounts on the host."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from reconciler.decide.mounts.mount_paths import inside as relative
from reconciler.formats.freeze import SHORTEST
from reconciler.model.documents import BindGrant, StackDocument
from reconciler.values import dataclass

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Places:
    """Folders of the host that contain mounts (absolute). `secrets` is None without a secrets_dir.

    `binds`: the real places of granted paths on this machine. `seal`: turns a digest that depends on secrets into one
    that nobody can guess them from. `engine`: the sockets of `reconciler engine-read`.
    """

    trees: str
    data: str
    secrets: str | None = None
    binds: tuple[BindGrant, ...] = ()
    seal: Callable[[str], str] = str
    engine: str = "/engine"


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
    """Service name → its canonical model."""
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
    """A path below `root` as a relative path with '/' ('.' for the root itself), as the policies read it; any other
    path unchanged."""
    below = relative(path, root)
    return path if below is None else below
