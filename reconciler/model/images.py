"""Images: what a commit names, and what the machine has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ImageWant:
    """An image that a service needs.

    Pulled (`build` None): `ref` as the file has it. Built: `build` is Compose's canonical build definition (paths
    relative to the repository's root), `key` the digest of definition and context, `tag` the name under which the
    machine keeps the result (`reconciler/<stack>-<service>:<key>`), `ref` the name that users know it by.
    """

    stack: str
    service: str
    ref: str
    key: str
    tag: str
    platform: str | None = None
    pull_policy: str | None = None
    build: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """An image on the machine. `digest` is the repository digest where one exists."""

    id: str
    digest: str | None = None
    healthcheck: bool = False
    size: int = 0
