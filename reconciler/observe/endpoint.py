"""Finds the engine's address in the same way as Docker's command line."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from reconciler.errors import Usage
from reconciler.model.outcome import Reason
from reconciler.ownership import DOCKER_CONFIG, require

DEFAULT_HOST = "unix:///var/run/docker.sock"


def engine_host(setting: str | None, environ: Mapping[str, str]) -> str:
    """The engine's URL (unix://, tcp://, ssh://). Does not contact the engine.

    In this order: `engine` of the agent config, DOCKER_HOST, Docker's current context, the first of `sockets`.
    Usage if a named context does not exist, or Docker's config cannot be read.
    """
    return named_host(setting, environ) or next(iter(sockets(environ)), DEFAULT_HOST)


def named_host(setting: str | None, environ: Mapping[str, str]) -> str | None:
    """The URL that the agent config, DOCKER_HOST or Docker's context sets; None if nothing does."""
    return setting or environ.get("DOCKER_HOST") or _context_host(environ)


def docker_config(environ: Mapping[str, str]) -> Path:
    """The folder of Docker's own configuration: credentials, contexts, plugins."""
    named = environ.get("DOCKER_CONFIG")
    return Path(named) if named else Path(environ.get("HOME") or Path.home()) / ".docker"


def _context_host(environ: Mapping[str, str]) -> str | None:
    folder = docker_config(environ)
    config = _json(folder / "config.json") or {}
    name = environ.get("DOCKER_CONTEXT") or config.get("currentContext") or "default"
    if name == "default":
        return None
    meta = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
    host = ((_json(meta) or {}).get("Endpoints") or {}).get("docker", {}).get("Host")
    if not host:
        raise Usage(
            Reason.ENGINE_UNAVAILABLE,
            f"Docker's current context is {name}, but {meta} does not say where its engine is",
            "See `docker context ls`, or name the engine with `engine` in the agent config.",
        )
    return str(host)


def sockets(environ: Mapping[str, str], system: str = "/") -> list[str]:
    """URLs of the engines' usual sockets that exist, in the order in which they are taken: first those that this
    user may use.

    No variable of a login shell is needed. `system`: the root of the machine's file system.
    """
    found = [path for path in dict.fromkeys(_usual(environ, Path(system))) if _is_socket(path)]
    return [f"unix://{path}" for path in sorted(found, key=lambda path: not os.access(path, os.R_OK | os.W_OK))]


def _usual(environ: Mapping[str, str], system: Path) -> Iterator[Path]:
    """Docker Engine, rootless, Colima, OrbStack, Docker Desktop, Rancher Desktop, Podman."""
    home = Path(environ.get("HOME") or Path.home())
    own = Path(environ.get("XDG_RUNTIME_DIR") or system / f"run/user/{os.getuid()}")
    yield system / DEFAULT_HOST.removeprefix("unix:///")
    yield own / "docker.sock"
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    named = [Path(environ["COLIMA_HOME"])] if environ.get("COLIMA_HOME") else []
    for colima in (*named, home / ".colima", config / "colima"):
        first = environ.get("COLIMA_PROFILE") or "default"
        yield from (colima / profile / "docker.sock" for profile in (first, "default"))
        with suppress(OSError):  # it may be a folder that we may not read
            yield from sorted(colima.glob("*/docker.sock"))
        yield colima / "docker.sock"
    for name in (".orbstack/run", ".docker/run", ".docker/desktop", ".rd"):
        yield home / name / "docker.sock"
    yield own / "podman/podman.sock"
    yield system / "run/podman/podman.sock"
    yield home / ".local/share/containers/podman/machine/podman.sock"


def _is_socket(path: Path) -> bool:
    try:
        return path.is_socket()
    except OSError:
        return False


def folders(state: str, secrets: str | None, granted: Iterable[str]) -> tuple[list[Path], list[Path]]:
    """Paths that containers must see: folders into which this process may write, and other paths."""
    own = [Path(state).resolve(), *([Path(secrets).resolve()] if secrets else [])]
    others = dict.fromkeys(Path(path) for path in granted)
    writable = [path for path in own if os.access(path, os.W_OK | os.X_OK)]
    return writable, [path for path in (*own, *others) if path not in writable]


def _json(path: Path) -> Mapping[str, Any] | None:
    require(str(path), DOCKER_CONFIG)
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Usage(
            Reason.ENGINE_UNAVAILABLE,
            f"{path} cannot be read: {error}",
            "Fix the file, or name the engine with `engine` in the agent config or DOCKER_HOST.",
        ) from error
    return value if isinstance(value, dict) else None
