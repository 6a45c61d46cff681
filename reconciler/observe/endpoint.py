"""Finds the engine's address in the same way as Docker's command line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reconciler.errors import Usage
from reconciler.model.outcome import Reason
from reconciler.ownership import DOCKER_CONFIG, require

DEFAULT_HOST = "unix:///var/run/docker.sock"


def engine_host(setting: str | None, environ: Mapping[str, str]) -> str:
    """The engine's URL (unix://, tcp://, ssh://). Does not contact the engine.

    In this order: `engine` of the agent config, DOCKER_HOST, Docker's current context, the usual socket, Colima's.
    Usage if a named context does not exist, or Docker's config cannot be read.
    """
    return setting or environ.get("DOCKER_HOST") or _context_host(environ) or _socket(environ)


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


def _socket(environ: Mapping[str, str]) -> str:
    colima = Path(environ.get("HOME") or Path.home()) / ".colima" / "default" / "docker.sock"
    if not Path(DEFAULT_HOST.removeprefix("unix://")).exists() and colima.exists():
        return f"unix://{colima}"
    return DEFAULT_HOST


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
