"""The Compose binary: its path, and whether it is new enough.

It is run directly, because a call through `docker compose` takes twice as long.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from reconciler.errors import Transient, Usage
from reconciler.model.outcome import Reason
from reconciler.model.rendered import NO_HOME
from reconciler.observe.endpoint import docker_config
from reconciler.ownership import PROGRAM, faults, require
from reconciler.process import run

OLDEST = (2, 20)
"""First version of Compose with `include`."""

PLUGIN_FOLDERS = (
    "/usr/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/opt/homebrew/lib/docker/cli-plugins",
    "/opt/homebrew/bin",
)
_ASKED = threading.Lock()
_VERSIONS: dict[tuple[str, int, int, int], tuple[int, int]] = {}
INSTALL = (
    "Install Compose 2 (Debian: docker-compose, Ubuntu: docker-compose-v2, macOS: brew install docker-compose)"
    ", or name it with `compose` in the agent config."
)


def find_compose(setting: str | None, environ: Mapping[str, str]) -> str:
    """Path of the Compose binary: `compose` of the agent config, else the first plugin, else one on $PATH.

    A binary that others could replace is skipped. Usage if the config names such a one, or there is no other, or the
    config names a file that cannot be run; Transient if there is none at all.
    """
    if setting:
        if not os.path.isabs(setting):
            raise Usage(
                Reason.ENGINE_UNAVAILABLE,
                f"compose: {setting} is no absolute path",
                "Begin it with /: a path relative to the working folder may be anybody's program.",
            )
        if _runs(Path(setting)):
            require(setting, PROGRAM)
            return setting
        raise Usage(
            Reason.ENGINE_UNAVAILABLE,
            f"compose: {setting} is no file that can be run",
            "Correct `compose` in the agent config, or leave it out to have Compose looked for.",
        )
    found = [str(folder / "docker-compose") for folder in _folders(environ) if _runs(folder / "docker-compose")]
    for path in found:
        if not faults(path, PROGRAM):
            return path
    for path in found:
        require(path, PROGRAM)
    raise Transient(Reason.ENGINE_UNAVAILABLE, "Compose was not found on this machine", INSTALL)


def compose_version(path: str) -> tuple[int, int]:
    """Major and minor version of a Compose binary, which is asked once until it is replaced. Transient if it cannot be
    run or is older than 2.20."""
    with _ASKED:
        stamp = _stamp(path)
        if stamp not in _VERSIONS:
            _VERSIONS[stamp] = _ask_version(path)
        return _VERSIONS[stamp]


def _stamp(path: str) -> tuple[str, int, int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return path, 0, 0, 0  # asking it will report the fault
    return path, found.st_ino, found.st_mtime_ns, found.st_size


def _ask_version(path: str) -> tuple[int, int]:
    completed = run([path, "version", "--short"], env={"HOME": NO_HOME, "DOCKER_CONFIG": NO_HOME}, timeout=10)
    said = completed.stdout.decode(errors="replace").strip()
    match = re.match(r"v?(\d+)\.(\d+)\.", said)
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    if completed.returncode or version < OLDEST:
        raise Transient(
            Reason.ENGINE_UNAVAILABLE,
            f"{path} is not Compose 2.20 or newer (it says {said.splitlines()[0] if said else 'nothing'})",
            INSTALL,
        )
    return version


def _folders(environ: Mapping[str, str]) -> Iterable[Path]:
    yield docker_config(environ) / "cli-plugins"
    yield from map(Path, PLUGIN_FOLDERS)
    yield from map(Path, filter(os.path.isabs, environ.get("PATH", "").split(os.pathsep)))


def _runs(path: Path) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)  # False, too, in a folder that this user may not enter
