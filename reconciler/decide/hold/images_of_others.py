"""Protects the names of images that somebody else made on this machine."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from reconciler.decide.lower.pull_policy import longest_age
from reconciler.model.images import ImageWant, familiar
from reconciler.model.outcome import Reason, Violation
from reconciler.model.stock import StoredImage

RULE = "foreign-image"


def in_the_way(
    wants: Iterable[ImageWant], stored: Collection[StoredImage], stacks: Collection[str]
) -> tuple[Violation, ...]:
    """Conflicts of building and pulling `wants`, each with a remedy.

    `stacks`: every stack that is or was this host's; an image that plain Compose built for one of them belongs to it.
    """
    others = [image for image in stored if not image.ours]
    made = {name for image in others for name in image.made_here}
    there = {name: image for image in others for name in image.names}
    return tuple(
        Violation(Reason.POLICY_VIOLATION, RULE, message, hint, stack=want.stack, service=want.service)
        for want in wants
        for message, hint in _of(want, made, there, {*stacks, want.stack})
    )


def _of(
    want: ImageWant, made: Collection[str], there: dict[str, StoredImage], stacks: Collection[str]
) -> Iterator[tuple[str, str]]:
    place = f"{want.stack}/{want.service}"
    if want.build is None:
        if familiar(want.ref) in made:
            key = "platform" if want.platform and longest_age(want.pull_policy) is None else "pull_policy"
            yield (
                f"{place} would pull {want.ref}, but an image that was made on this machine has that name and would "
                f"lose it",
                f"drop {key} to run the image that is there, or give that one another name (docker tag "
                f"{want.ref} NAME; docker rmi {want.ref}); it is tried again by itself",
            )
        return
    for name in (want.ref, *(want.build.get("tags") or ())):
        image = there.get(familiar(name))
        if image is not None and image.stack not in stacks:
            yield (
                f"{place} would build {name}, and an image of that name is there that is not this stack's",
                f"choose another name in image or build.tags, or take it from that image (docker rmi {name}); "
                f"it is tried again by itself",
            )
    for name in want.sources.copied:
        if familiar(name) in made and familiar(name) not in want.sources.named:
            yield (
                f"{place} would copy from {name}, which somebody has made on this machine",
                "name an image of a registry, or build it in the commit; it is tried again by itself",
            )
