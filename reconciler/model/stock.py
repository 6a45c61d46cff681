"""Objects that accumulate on a machine, and which of them are in use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.model.images import OURS, canonical
from reconciler.model.observed import COMPOSE_PROJECT, COMPOSE_SERVICE
from reconciler.values import dataclass

NO_NAME = "<none>:<none>"


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image on the machine. `names` are its tags as the engine shows them.

    `stack` and `service`: those whose build made it, from Compose's labels; '' if no Compose built it. `repositories`:
    its registry repositories, as the engine shows them.
    """

    id: str
    names: tuple[str, ...] = ()
    stack: str = ""
    service: str = ""
    repositories: frozenset[str] = frozenset()

    @property
    def ours(self) -> bool:
        """Whether an agent has built it, by its tag and Compose's labels."""
        own = f"{OURS}{self.stack}-{self.service}:"
        return bool(self.stack) and any(name.startswith(own) for name in self.names)

    @property
    def made_here(self) -> tuple[str, ...]:
        """Names of the image that no registry knows: somebody has built or named it here. A name with a registry's
        address counts as that registry's.
        """
        bare = (name for name in self.names if canonical(name) != name)
        return tuple(name for name in bare if name.rpartition(":")[0] not in self.repositories)


def stored_image(listed: Mapping[str, Any]) -> StoredImage:
    """From the engine's list of images."""
    labels = listed.get("Labels") or {}
    names = sorted(name for name in listed.get("RepoTags") or () if name != NO_NAME)
    digests = (digest.partition("@")[0] for digest in listed.get("RepoDigests") or ())
    return StoredImage(
        listed["Id"],
        tuple(names),
        labels.get(COMPOSE_PROJECT, ""),
        labels.get(COMPOSE_SERVICE, ""),
        frozenset(name for name in digests if name != "<none>"),
    )


@dataclass(frozen=True, slots=True)
class InUse:
    """What all containers need, foreign and stopped ones too: ids of images, sources of mounts."""

    images: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Fetched:
    """An image that we have brought to the machine for a commit, and the names that it got then."""

    revision: str
    names: tuple[str, ...]
