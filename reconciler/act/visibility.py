"""Checks whether containers see folders of this machine. An engine in a virtual machine may not see them."""

from __future__ import annotations

import base64
import io
import json
import secrets
import stat
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound, NotFound

from reconciler.engine import TIMEOUT, engine_calls, explanation
from reconciler.errors import Transient
from reconciler.model.outcome import Reason
from reconciler.model.times import instant

ABANDONED = 600.0
"""Age in seconds from which a container can belong to no living process."""

_TARGET, _NAME = "/reconciler-doctor", "reconciler-doctor-"
_Image = tuple[str, Sequence[str]]
"""Id and names of the labels."""

_FOLDER = 1 << 31
"""Go's mode bit of a folder."""


def seen(client: docker.APIClient, own: Sequence[Path], granted: Sequence[Path] = ()) -> dict[str, bool | None]:
    """Path → whether containers see it as it is here. A container is created for this, and never started.

    `own`: folders in which a file may be written for a moment. `granted`: paths that are only compared (kind and time
    of the last change), because they are somebody else's. None: the engine has no image for a container. Away if the
    engine does not answer; Transient if nothing can be written into one of `own`.
    """
    paths = list(dict.fromkeys([*own, *granted]))
    there = [path for path in paths if path.exists()]
    found: dict[str, bool | None] = {str(path): False for path in paths}
    _remove_abandoned(client)
    for image in _images(client):
        with suppress(_NoImage):
            return found | _look_at_all(client, image, there, own)
    return found | {str(path): None for path in there}


class _NoSource(Exception):
    """The engine says that one of the paths does not exist."""


class _NoImage(Exception):
    """Somebody has just removed the image."""


def _look_at_all(
    client: docker.APIClient, image: _Image, paths: Sequence[Path], own: Sequence[Path]
) -> dict[str, bool | None]:
    """Look at all paths in one container; if one of them does not exist for the engine, at each in its own."""
    try:
        return _look(client, image, paths, own)
    except _NoSource:
        found: dict[str, bool | None] = {}
        for path in paths:
            try:
                found |= _look(client, image, [path], own)
            except _NoSource:
                found[str(path)] = False
        return found


def _look(
    client: docker.APIClient, image: _Image, paths: Sequence[Path], own: Sequence[Path]
) -> dict[str, bool | None]:
    """All paths in one container."""
    if not paths:
        return {}
    with engine_calls("look into a container"):
        mounts = [_mount(n, path) for n, path in enumerate(paths)]
        made = _make(client, image, mounts)
        try:
            return {
                str(path): _reads(client, made, mount, path) if path in own else _is_same(client, made, mount, path)
                for path, mount in zip(paths, (item["Target"] for item in mounts), strict=True)
            }
        finally:
            client.remove_container(made, force=True)


def _remove_abandoned(client: docker.APIClient) -> None:
    """Remove containers of processes that were killed before they could."""
    with engine_calls("remove an abandoned container"):
        for item in client.containers(all=True, filters={"name": f"^/?{_NAME}[0-9a-f]{{8}}$", "status": "created"}):
            if item["Created"] < time.time() - ABANDONED:
                with suppress(NotFound):
                    client.remove_container(item["Id"], force=True)


def _images(client: docker.APIClient) -> Iterator[_Image]:
    """Small images first; without volumes of their own, which a container would leave behind."""
    with engine_calls("list images"):
        listed = client.images()
    for item in sorted(listed, key=lambda item: item["Size"]):
        with engine_calls("inspect an image"):
            try:
                answer: dict[str, Any] = client.inspect_image(item["Id"])  # type: ignore[no-untyped-call]  # the stubs lack it
            except NotFound:
                continue
        config = answer.get("Config") or {}
        if not config.get("Volumes"):
            yield str(item["Id"]), tuple(config.get("Labels") or ())


def _mount(number: int, path: Path) -> docker.types.Mount:
    return docker.types.Mount(f"{_TARGET}/{number}", str(path), "bind", read_only=True)


def _make(client: docker.APIClient, image: _Image, mounts: Sequence[docker.types.Mount]) -> str:
    host_config = client.create_host_config(mounts=list(mounts), network_mode="none")
    name = f"{_NAME}{secrets.token_hex(4)}"
    # The container inherits the image's labels, and an image of `docker commit` has those of a stack's container.
    labels = dict.fromkeys(image[1], "")
    try:
        made = client.create_container(image[0], ["true"], host_config=host_config, name=name, labels=labels)
        return str(made["Id"])
    except ImageNotFound as error:
        raise _NoImage from error
    except APIError as error:
        if error.is_client_error() and "bind source path" in explanation(error):
            raise _NoSource from error
        raise


def _reads(client: docker.APIClient, container: str, target: str, folder: Path) -> bool:
    """Whether a file that is written now can be read through the container."""
    word = secrets.token_hex(8)
    probe = folder / f".doctor-{word}"
    try:
        probe.write_text(word, "utf-8")
        stream, _ = client.get_archive(container, f"{target}/{probe.name}")
        return _text(b"".join(stream)) == word
    except NotFound:
        return False
    except OSError as error:
        hint = "fix the folder's owner or make room on its disk"
        raise Transient(Reason.DISK_FAILED, f"cannot write to {folder}: {error.strerror}", hint) from error
    finally:
        probe.unlink(missing_ok=True)


def _is_same(client: docker.APIClient, container: str, target: str, path: Path) -> bool:
    """Whether the container has the same file or folder at the path. An engine in a virtual machine may have another
    path of that name, and some make an empty folder."""
    before = path.stat()
    answer = client.head(
        f"{client.base_url}/v{client.api_version}/containers/{container}/archive",
        params={"path": target},
        timeout=TIMEOUT,
    )
    if answer.status_code != 200:
        return False
    told: Mapping[str, Any] = json.loads(base64.b64decode(answer.headers["X-Docker-Container-Path-Stat"]))
    # A folder that is written to meanwhile has a later time in the second of both looks.
    around = int(before.st_mtime) - 1 <= instant(told["mtime"]) <= path.stat().st_mtime + 1
    return around and bool(int(told["mode"]) & _FOLDER) == stat.S_ISDIR(before.st_mode)


def _text(archive: bytes) -> str:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        member = tar.next()
        file = tar.extractfile(member) if member else None
        return file.read(64).decode(errors="replace") if file else ""
