"""Selects images, trees and models of ours that nothing needs any more.

Kept are the last good state and the two before it (`git revert` needs no build), what the branch's head asks for, and
whatever any container uses. Objects that somebody else may have made are never selected.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from reconciler.model.desired import DesiredState
from reconciler.model.history import History
from reconciler.model.images import familiar
from reconciler.model.outcome import Intent, Outcome
from reconciler.model.stock import Fetched, InUse, StoredImage

KEPT = 3
"""Number of good states that can be rolled back to without a build: last good and those before it. Also of names of one
image."""


def good_contents(history: History) -> list[str]:
    """Contents of last good and of the good states before it that are kept, newest first."""
    good = [history.last_good.content] if history.last_good else []
    good += [
        item.content
        for item in reversed(history.attempts)
        if item.content and (item.intent, item.outcome) == (Intent.ADVANCE, Outcome.SUCCEEDED)
    ]
    return list(dict.fromkeys(good))[:KEPT]


def retained(history: History) -> list[str]:
    """The contents that are kept, last good first."""
    head = [item.content for item in history.attempts if item.content and item.revision == _head(history)]
    return list(dict.fromkeys([*good_contents(history), *head[-1:]]))


def surplus_images(
    images: Collection[StoredImage], states: Iterable[DesiredState], used: InUse, stacks: Collection[str],
    history: History,
) -> list[str]:  # fmt: skip
    """Names and ids that the engine is asked to remove. Our own tag is removed last, so that the image is found again
    if removing another name fails."""
    needed = used.images | {service.image for state in states for service in state.services().values()}
    fresh = {key for key, item in history.fetched.items() if item.revision == _head(history)}
    found: list[str] = []
    for image in images:
        own = _own_tags(image, stacks, history.fetched)
        keep = image.id in needed or image.id in fresh or not fresh.isdisjoint(own)
        if own:
            found += own[:-KEPT] if keep else _with_given(image, own, history.fetched)
        elif not keep and _is_pulled(image, history.fetched):
            found.append(image.id)
    return found


def gone(images: Iterable[StoredImage], fetched: Mapping[str, Fetched]) -> list[str]:
    """Fetched images that have disappeared. If one comes back, this agent has not fetched it."""
    there = {key for image in images for key in (image.id, *image.names)}
    return [key for key in fetched if key not in there]


def surplus_trees(there: Iterable[str], states: Iterable[DesiredState], used: InUse) -> list[str]:
    """Digests of trees that no kept state mounts, and no container."""
    needed = {tree.digest for state in states for tree in state.trees}
    needed |= {part for source in used.sources for part in source.split("/")}
    return [digest for digest in there if digest not in needed]


def _head(history: History) -> str:
    return history.seen[-1] if history.seen else ""


def _own_tags(image: StoredImage, stacks: Collection[str], fetched: Mapping[str, Fetched]) -> list[str]:
    """Tags of builds for our stacks, in the order in which they were built."""
    if image.stack not in stacks:
        return []
    order = list(fetched)
    repository = f"reconciler/{image.stack}-{image.service}:"
    own = [name for name in image.names if name.startswith(repository)]
    return sorted(own, key=lambda name: order.index(name) if name in fetched else -1)


def _with_given(image: StoredImage, own: list[str], fetched: Mapping[str, Fetched]) -> list[str]:
    """The names from its builds, if they still belong to it."""
    given = {familiar(name) for tag in own if tag in fetched for name in fetched[tag].names}
    return [*(name for name in image.names if name in given and name not in own), *own]


def _is_pulled(image: StoredImage, fetched: Mapping[str, Fetched]) -> bool:
    """Whether we pulled it, and it has no other name."""
    return image.id in fetched and set(image.names) <= set(fetched[image.id].names)
