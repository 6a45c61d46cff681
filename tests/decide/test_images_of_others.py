"""Names that other people gave to images on the machine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.decide.hold.images_of_others import in_the_way
from reconciler.model.images import ImageWant, Sources
from reconciler.model.stock import StoredImage, stored_image

THEIRS = StoredImage("sha256:1", ("tool:1",))
PULLED = StoredImage("sha256:2", ("nginx:1", "renamed:1"), repositories=frozenset({"nginx"}))
OURS = StoredImage("sha256:3", ("reconciler/shop-web:abc", "shop-web:latest"), "shop", "web")
BY_COMPOSE = StoredImage("sha256:4", ("shop-web:latest",), "shop", "web")
PRIVATE = StoredImage("sha256:5", ("registry.example/team/app:1",))


def want(ref: str, build: dict[str, Any] | None = None, **sources: Any) -> ImageWant:
    return ImageWant("shop", "web", ref, "k", ref, build=build, sources=Sources(**sources))


BUILD = {"context": "."}


@pytest.mark.parametrize(
    ("asked", "there", "named"),
    [
        (want("tool:1", BUILD), THEIRS, "tool:1"),
        (want("docker.io/library/tool:1", BUILD), THEIRS, "tool:1"),
        (want("x", {**BUILD, "tags": ["y", "index.docker.io/library/tool:1"]}), THEIRS, "tool:1"),
        (want("nginx:1", BUILD), PULLED, "nginx:1"),
        (want("registry.example/team/app:1", BUILD), PRIVATE, "team/app:1"),
        (want("shop-web", BUILD), StoredImage("i", ("shop-web:latest",), "other", "web"), "shop-web"),
        (want("x", BUILD, copied=("tool:1",)), THEIRS, "tool:1"),
        (want("tool:1"), THEIRS, "tool:1"),
        (want("renamed:1"), PULLED, "renamed:1"),
        (want("tool:2", BUILD), THEIRS, None),
        (want("shop-web", BUILD), OURS, None),
        (want("shop-web", BUILD), BY_COMPOSE, None),
        (want("nginx:1"), PULLED, None),
        (want("registry.example/team/app:1"), PRIVATE, None),
        (want("nginx@sha256:0"), PULLED, None),
        (want("x", BUILD, copied=("tool:1",), named=frozenset({"tool:1"})), THEIRS, None),
        (want("x", BUILD, copied=("nginx:1",)), PULLED, None),
    ],
)
def test_what_is_in_the_way(asked: ImageWant, there: StoredImage, named: str | None) -> None:
    found = in_the_way([asked], [there], ["shop"])
    assert [item.rule for item in found] == ["foreign-image"] * (named is not None)
    assert all(named and named in item.message and "tried again by itself" in item.hint for item in found)


@pytest.mark.parametrize(
    ("platform", "policy", "key"),
    [("linux/arm64", None, "platform"), ("linux/arm64", "always", "pull_policy"), (None, "daily", "pull_policy")],
)
def test_a_pull_names_the_key_that_causes_it(platform: str | None, policy: str | None, key: str) -> None:
    asked = replace(want("tool:1"), platform=platform, pull_policy=policy)
    (found,) = in_the_way([asked], [THEIRS], ["shop"])
    assert found.hint.startswith(f"drop {key} to run the image that is there")


def test_what_an_engine_lists() -> None:
    listed = {
        "Id": "sha256:1",
        "RepoTags": ["nginx:1", "<none>:<none>", "mine:1"],
        "RepoDigests": ["nginx@sha256:0", "<none>@<none>"],
        "Labels": None,
    }
    found = stored_image(listed)
    assert found.names == ("mine:1", "nginx:1")
    assert found.made_here == ("mine:1",)
    assert stored_image({"Id": "i", "RepoTags": None, "RepoDigests": None}).made_here == ()
