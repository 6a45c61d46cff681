"""Removes what an agent leaves on a machine: its containers, its networks, its state. Never a volume, never `data/`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import docker
from docker.errors import APIError, NotFound

from reconciler.act.engine import EngineApplier
from reconciler.engine import engine_calls, explanation
from reconciler.errors import Transient
from reconciler.log import logger
from reconciler.materialise import remove
from reconciler.model.observed import LABEL_HOST
from reconciler.model.outcome import Reason
from reconciler.workspace import PREFIX

KEPT = "data"
"""Folder of the state folder that is never removed: containers have written people's data there."""

_FILES = (
    "alerts", "alerts-test", "grants", "mark", "notifications", "outbox", "preview", "read", "samples", "seal",
    "status", "turn",
)  # fmt: skip
_OURS = re.compile(
    rf"\.?({'|'.join(_FILES)})\.(json(\.[\w.-]+)?|\d+(-\d+)?)"
    r"|(journal\.jsonl|mirror\.git|lock|preview\.lock|deploy_key(\.pub)?)(\.[\w.-]+)?"
    r"|\.(seal|key)-\w+"
)
"""What the agent and the programs beside it make in the state folder, and drafts of these files."""
_FOLDERS = {
    "build": rf"{PREFIX}.+",
    "engine": "engine-read|engine-logs|lock",
    "logs": ".+%2F.+",
    "preview": rf"{PREFIX}.+",
    "render": rf"{PREFIX}.+",
    "rendered": r"\.?[0-9a-f]{64}(\..+)?",
    "requests": r"\.?\d{8}T.+",
    "trees": r"(\.new-)?[0-9a-f]{64}",
}
"""Folders that they make there → pattern of the names that they make in it. Everything else in it is a person's: the
state folder may be a folder that had, for example, a `build` before."""


def remove_containers(
    applier: EngineApplier, client: docker.APIClient, host: str, graces: Mapping[str, float]
) -> tuple[str, ...]:
    """Stop and remove these containers (id → seconds to stop in), then the networks of this host; returns their
    names. Away if the engine does not answer; containers that are removed by then stay removed."""
    applier.update_all(dict.fromkeys(graces, "no"))  # else the engine starts again what has just been stopped
    applier.stop_all(graces)
    for container in graces:
        applier.remove(container)
    with engine_calls("remove networks"):
        found = client.networks(filters={"label": f"{LABEL_HOST}={host}"})
        return tuple(sorted(str(item["Name"]) for item in found if _removed(client, str(item["Id"]))))


def _removed(client: docker.APIClient, network: str) -> bool:
    """Whether the network was removed. It stays if somebody else's container is in it."""
    try:
        client.remove_network(network)
    except NotFound:
        return False
    except APIError as error:
        logger.warning("a network stays: {}", explanation(error))
        return False
    return True


def _remove_from(folder: Path, ours: str) -> None:
    """Remove what matches `ours` in the folder, and the folder if nothing is left in it. A link is removed itself."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.is_dir():
        for item in [*folder.iterdir()]:
            if re.fullmatch(ours, item.name):
                remove(item)
        if not any(folder.iterdir()):
            folder.rmdir()


def remove_state(folder: Path, *, itself: bool = True) -> tuple[str, ...]:
    """Remove the files of the agent, and the folder itself if nothing is left in it and `itself` is set. Returns the
    names of what stays: `data`, and everything that is not the agent's: the agent config may name a folder with other
    things. Transient if something cannot be removed."""
    data = folder / KEPT
    if not folder.exists():
        return ()
    try:
        for item in sorted(folder.iterdir()):
            if _OURS.fullmatch(item.name):
                remove(item)
            elif item.name in _FOLDERS:
                _remove_from(item, _FOLDERS[item.name])
        if data.is_dir() and not data.is_symlink() and not any(data.iterdir()):
            data.rmdir()
        left = tuple(sorted(item.name for item in folder.iterdir()))
        if left:
            return left
    except OSError as error:
        raise _unremovable(error, folder) from error
    if itself:
        remove_empty(folder)
    return ()


def remove_empty(folder: Path) -> None:
    """Transient if it is not empty (any more), or a file system is mounted there."""
    try:
        folder.rmdir()
    except OSError as error:
        raise _unremovable(error, folder) from error


def _unremovable(error: OSError, folder: Path) -> Transient:
    told = f"{error.filename or folder} cannot be removed: {error.strerror}"
    return Transient(Reason.DISK_FAILED, told, "see who owns it, and run the same command again")
