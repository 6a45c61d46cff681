"""What piles up on a machine, and what of it is in use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image on the machine. `names` are its tags as the engine shows them.

    `stack` and `service` are whose build made it, by Compose's labels; '' where no Compose built it.
    """

    id: str
    names: tuple[str, ...] = ()
    stack: str = ""
    service: str = ""


@dataclass(frozen=True, slots=True)
class InUse:
    """What containers need, anybody's and stopped ones too: ids of images, sources of mounts."""

    images: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Fetched:
    """An image that we have brought to the machine for a commit, and the names that it got by it."""

    revision: str
    names: tuple[str, ...]
