"""Checks whether containers see a folder of this machine. An engine in a virtual machine may not see it."""

from __future__ import annotations

import io
import secrets
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, NotFound

from reconciler.engine import engine_calls, explanation
from reconciler.errors import Transient
from reconciler.model.outcome import Reason

_TARGET = "/reconciler-doctor"


def visible(client: docker.APIClient, folder: Path) -> bool | None:
    """Whether a file in `folder` can be read through a container, which is created and never started.

    None: the engine has no image for a container. Away if the engine does not answer.
    """
    image = next(_images(client), None)
    if image is None:
        return None
    word = secrets.token_hex(8)
    probe = folder / f".doctor-{word}"
    try:
        probe.write_text(word, "utf-8")
        return _read(client, image, folder, probe.name) == word
    except OSError as error:
        hint = "fix the folder's owner or make room on its disk"
        raise Transient(Reason.DISK_FAILED, f"cannot write to {folder}: {error.strerror}", hint) from error
    finally:
        probe.unlink(missing_ok=True)


def _images(client: docker.APIClient) -> Iterator[str]:
    """Small images first; without volumes of their own, which a container would leave behind."""
    with engine_calls("list images"):
        listed = client.images()
    for item in sorted(listed, key=lambda item: item["Size"]):
        with engine_calls("inspect an image"):
            try:
                answer: dict[str, Any] = client.inspect_image(item["Id"])  # type: ignore[no-untyped-call]  # the stubs lack it
            except NotFound:
                continue
        if not (answer.get("Config") or {}).get("Volumes"):
            yield str(item["Id"])


def _read(client: docker.APIClient, image: str, folder: Path, name: str) -> str:
    mount = docker.types.Mount(_TARGET, str(folder), "bind", read_only=True)
    with engine_calls("look into a container"):
        try:
            made = _make(client, image, mount)
        except APIError as error:
            if error.is_client_error() and "bind source path" in explanation(error):
                return ""
            raise
        try:
            stream, _ = client.get_archive(made, f"{_TARGET}/{name}")
            return _text(b"".join(stream))
        except NotFound:
            return ""
        finally:
            client.remove_container(made, force=True)


def _make(client: docker.APIClient, image: str, mount: docker.types.Mount) -> str:
    host_config = client.create_host_config(mounts=[mount], network_mode="none")
    name = f"reconciler-doctor-{secrets.token_hex(4)}"
    return str(client.create_container(image, ["true"], host_config=host_config, name=name)["Id"])


def _text(archive: bytes) -> str:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        member = tar.next()
        file = tar.extractfile(member) if member else None
        return file.read(64).decode(errors="replace") if file else ""
