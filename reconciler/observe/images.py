"""Finds the images that the machine has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound

from reconciler.engine import engine_calls
from reconciler.model.images import Image, ImageWant, image_of
from reconciler.model.stock import StoredImage, stored_image


class LocalImages:
    """Implements `loop.ports.Images`: one engine call for each image."""

    def __init__(self, client: docker.APIClient) -> None:
        self._client = client

    def local(self, wants: Sequence[ImageWant]) -> Mapping[str, Image]:
        """want.key → image. An image for another platform does not count. Away, as everywhere."""
        found = ((want, self._inspect(want)) for want in wants)
        return {want.key: image_of(item, want.ref) for want, item in found if item is not None}

    def stored(self) -> Sequence[StoredImage]:
        """Every image, by id. Away, as everywhere."""
        with engine_calls("list images"):
            answers: list[Mapping[str, Any]] = self._client.images()
        return sorted((stored_image(answer) for answer in answers), key=lambda image: image.id)

    def _inspect(self, want: ImageWant) -> Mapping[str, Any] | None:
        name = want.ref if want.build is None else want.tag
        with engine_calls(f"look for the image {name}"):
            try:
                inspected: Mapping[str, Any] = self._client.inspect_image(name)  # type: ignore[no-untyped-call]
            except ImageNotFound:
                return None
            except APIError as error:
                if error.response is None or error.response.status_code != HTTPStatus.BAD_REQUEST:
                    raise
                return None  # no image can have that name; the pull reports it
        return inspected if _suits(inspected, want.platform) else None


def _suits(inspected: Mapping[str, Any], platform: str | None) -> bool:
    """Variants (arm64/v8) are ignored: images of the same architecture often do not name one."""
    return not platform or platform.split("/")[:2] == [inspected.get("Os"), inspected.get("Architecture")]
