"""Names with a meaning for Compose, and the key of our own settings."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from pathlib import Path

from reconciler.formats.dotenv import Steering
from reconciler.values import dataclass

NAMESPACES = ("network_mode", "pid", "ipc")
"""Keys of a service that can name another service as namespace owner (`service:NAME`)."""

SETTINGS = "x-reconciler"
"""The key of a service below which our own settings stand; Compose ignores it."""

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
"""The first of these in a folder is read (compose-go's `DefaultFileNames`)."""

OVERRIDES = tuple(f"{name}.override.{end}" for name in ("compose", "docker-compose") for end in ("yml", "yaml"))
"""The first of these in the same folder is merged over the first file, whichever names the two have."""

_OTHER = re.compile(r"(docker-)?compose[.-].+\.ya?ml|.+[.-](docker-)?compose\.ya?ml", re.IGNORECASE)


def default_files(names: Container[str]) -> tuple[str, ...]:
    """The files that `docker compose up` reads in a folder with `names`; () if it finds none."""
    first = [name for name in NAMES if name in names][:1]
    return tuple(first + [name for name in OVERRIDES if name in names][:1]) if first else ()


def other_files(names: Iterable[str]) -> list[str]:
    """Compose files that Compose reads only if they are named: compose.prod.yml, …"""
    return sorted(name for name in names if name not in NAMES and name not in OVERRIDES and _OTHER.fullmatch(name))


@dataclass(frozen=True, slots=True)
class ComposeFolder:
    """A folder (absolute) as Compose would find it: the names of its files, and the settings for Compose in its
    `.env`."""

    path: Path
    names: frozenset[str]
    steering: Steering

    @property
    def files(self) -> tuple[str, ...]:
        """The files that `docker compose up` reads here, relative to it; () if it finds none."""
        return self.steering.files or default_files(self.names)
