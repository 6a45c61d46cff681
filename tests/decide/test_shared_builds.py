"""One build for several services and stacks: each has its own name for the same image."""

from __future__ import annotations

from typing import Any

from reconciler.decide.lower.lower import lower
from reconciler.decide.lower.wanted_images import wants
from reconciler.decide.mounts.sources import Places, Source
from reconciler.model.documents import HostDocument, StackDocument
from reconciler.model.images import Image
from tests.decide.judging import Commit

ROOT = "/render/commit"
FILES = Commit({"web/Dockerfile": "FROM scratch"})
BUILD = {"context": f"{ROOT}/web", "dockerfile": "Dockerfile"}


def images_of(**stacks: dict[str, Any]) -> dict[tuple[str, str], str]:
    """(stack, service) → image id, if each desired image exists under its key."""
    documents = tuple(StackDocument(name, ("compose.yaml",)) for name in stacks)
    sources = [Source(document, {"services": stacks[document.name]}, ROOT, {}, {}) for document in documents]
    images = {want.key: Image(f"id-{want.key[:8]}") for want in wants(sources, FILES)}
    found = lower(HostDocument("mini", documents), sources, FILES, images, Places("/trees", "/data"), "c0ffee")
    return {key: service.image for key, service in found.services().items()}


def test_two_services_with_the_same_build_share_its_image() -> None:
    found = images_of(shop={"web1": {"build": BUILD}, "web2": {"build": BUILD}})
    assert found[("shop", "web1")] == found[("shop", "web2")]
    assert found[("shop", "web1")].startswith("id-")


def test_the_image_that_another_service_builds_is_not_pulled() -> None:
    found = images_of(shop={"web": {"build": BUILD, "image": "team/web"}, "job": {"image": "team/web"}})
    assert found[("shop", "job")] == found[("shop", "web")]


def test_another_stack_may_use_what_one_builds() -> None:
    found = images_of(jobs={"job": {"image": "team/web"}}, shop={"web": {"build": BUILD, "image": "team/web"}})
    assert found[("jobs", "job")] == found[("shop", "web")]


def test_one_name_for_two_platforms_is_two_images() -> None:
    found = images_of(shop={"a": {"image": "x", "platform": "linux/amd64"}, "b": {"image": "x"}})
    assert found[("shop", "a")] != found[("shop", "b")]
