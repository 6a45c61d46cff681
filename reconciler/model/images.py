"""Images: those that a commit names, and those that the machine has."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from reconciler.model.facts import labels
from reconciler.model.times import engine_time
from reconciler.values import dataclass

OURS = "reconciler/"
"""Prefix of the names of images that agents have built."""

UNRESOLVED = "unresolved:"
"""Prefix of the placeholder for the id of an image that is still to be pulled or built."""


def is_unresolved(image: str) -> bool:
    return image.startswith(UNRESOLVED)


@dataclass(frozen=True, slots=True)
class Sources:
    """What a build may read besides its context.

    `built`: images of the same commit that its Dockerfile names (name → tag). `copied`: other images that it copies
    from or mounts. `named`: images that it or a service of the commit builds on; they may have been made on this
    machine. `secrets`: id of a build secret → the variable of secrets_dir with its value. `remotes`: addresses that ADD
    names; `frontend`: its own is used. Both are set only if the operator allows them.
    """

    built: Mapping[str, str] = field(default_factory=dict)
    copied: tuple[str, ...] = ()
    named: frozenset[str] = frozenset()
    secrets: Mapping[str, str] = field(default_factory=dict)
    remotes: tuple[str, ...] = ()
    frontend: bool = False


@dataclass(frozen=True, slots=True)
class ImageWant:
    """An image that a service needs.

    Pulled (`build` None): `ref` as in the file. Built: `build` is Compose's canonical build definition (paths relative
    to the repository's root), `key` the digest of definition and context, `tag` the only name under which the machine
    keeps the result (`reconciler/<stack>-<service>:<key>`), `ref` the name that the commit uses for it.
    """

    stack: str
    service: str
    ref: str
    key: str
    tag: str
    platform: str | None = None
    pull_policy: str | None = None
    build: Mapping[str, Any] | None = None
    sources: Sources = Sources()


@dataclass(frozen=True, slots=True)
class Image:
    """An image on the machine. `digest` is the repository digest if one exists.

    `tagged`: when a name was last given to it, in Unix seconds; 0 if unknown. A pull counts if it brought another
    image. `content`: equal for images with the same layers and settings, no matter who built them and when.
    """

    id: str
    digest: str | None = None
    healthcheck: bool = False
    content: str = ""
    tagged: float = 0.0


@dataclass(frozen=True, slots=True)
class ImageDefaults:
    """Settings that a container gets from its image if its file does not set them. `environment` are NAME=value.

    `healthcheck` is in the engine's words. `volumes`: targets that get an anonymous volume. `content`: as in `Image`.
    """

    environment: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: str = ""
    folder: str = ""
    stop_signal: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    healthcheck: Mapping[str, Any] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    content: str = ""


def defaults_of(inspected: Mapping[str, Any]) -> ImageDefaults:
    """From the engine's answer about an image."""
    config = inspected.get("Config") or {}
    return ImageDefaults(
        environment=tuple(config.get("Env") or ()),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()),
        user=config.get("User") or "",
        folder=config.get("WorkingDir") or "",
        stop_signal=config.get("StopSignal") or "",
        labels=config.get("Labels") or {},
        healthcheck=config.get("Healthcheck") or {},
        volumes=tuple(sorted(config.get("Volumes") or {})),
        content=_content(inspected),
    )


def image_of(inspected: Mapping[str, Any], ref: str) -> Image:
    """From the engine's answer about an image. Of several digests the one of `ref`'s repository is taken."""
    digests = list(inspected.get("RepoDigests") or ())
    repository = ref.partition("@")[0].rpartition("/")[2].partition(":")[0]
    own = [item for item in digests if item.partition("@")[0].rpartition("/")[2] == repository]
    check = (inspected.get("Config") or {}).get("Healthcheck") or {}
    return Image(
        id=str(inspected["Id"]),
        digest=next(iter([*own, *digests]), None),
        healthcheck=bool(check.get("Test")) and check["Test"][0] != "NONE",
        content=_content(inspected),
        tagged=_tagged(inspected),
    )


def familiar(name: str) -> str:
    """A tag as the engine lists it: `docker.io/library/web` → `web:latest`."""
    for host in ("docker.io/", "index.docker.io/"):
        name = name.removeprefix(host)
    name = name.removeprefix("library/")
    return name if ":" in name.rpartition("/")[2] or "@" in name else f"{name}:latest"


def canonical(name: str) -> str:
    """A name in full, as registries know it: `web` → `docker.io/library/web:latest`."""
    name = familiar(name)
    host, slash, _ = name.partition("/")
    if slash and ("." in host or ":" in host or host == "localhost"):
        return name
    return f"docker.io/{name}" if slash else f"docker.io/library/{name}"


def registry(ref: str) -> str:
    """The host that an image is pulled from, without its port; Docker Hub's where the name has none."""
    first, slash, _ = ref.partition("/")
    if not slash or not (first == "localhost" or "." in first or ":" in first):
        return "registry-1.docker.io"
    return first.partition("]")[0].lstrip("[") if first.startswith("[") else first.partition(":")[0]


def _tagged(inspected: Mapping[str, Any]) -> float:
    text = str((inspected.get("Metadata") or {}).get("LastTagTime") or "")
    return engine_time(text) or 0.0


def _content(inspected: Mapping[str, Any]) -> str:
    layers = (inspected.get("RootFS") or {}).get("Layers")
    if not layers:
        return ""
    settings = dict(inspected.get("Config") or {})
    own = labels(settings.pop("Labels", None) or {})
    told = {name: settings.get(name) or None for name in _SETTINGS}
    return hashlib.sha256(json.dumps([layers, told, own], sort_keys=True).encode()).hexdigest()


_SETTINGS = (
    "Cmd", "Entrypoint", "Env", "ExposedPorts", "Healthcheck", "OnBuild", "Shell", "StopSignal", "User", "Volumes",
    "WorkingDir",
)  # fmt: skip
