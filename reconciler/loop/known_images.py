"""Selects the image for each service: the tag's present image, or the image of an earlier good state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from reconciler.decide.history.garbage import good_contents
from reconciler.loop.ledger import Ledger
from reconciler.loop.options import Ports
from reconciler.loop.ports import Images
from reconciler.loop.prepare import Prepared
from reconciler.model.desired import DesiredState
from reconciler.model.history import History
from reconciler.model.images import Image, ImageWant

Lower = Callable[[Mapping[str, Image]], DesiredState]


def local_images(
    ports: Ports,
    ledger: Ledger,
    prepared: Prepared,
    revision: str,
    anew: Callable[[ImageWant, Image], bool] = lambda want, image: False,
) -> dict[str, Image]:
    """want.key → image of the machine, without those in `anew`, which are pulled or built again."""
    images = ports.images
    found = images.local(prepared.wants)
    fresh = {want.key for want in prepared.wants if want.key in found and anew(want, found[want.key])}
    kept = {key: image for key, image in found.items() if key not in fresh}
    wants = [want for want in prepared.wants if want.key not in fresh]
    states = good_states(ledger.history, ports.store.load)
    return remembered(wants, kept, states, images, lambda known: ports.preparer.lower(prepared, known, revision))


def good_states(history: History, load: Callable[[str], DesiredState | None]) -> Iterable[DesiredState]:
    """The kept states, newest first; each is read lazily."""
    return (state for content in good_contents(history) if (state := load(content)) is not None)


def remembered(
    wants: Iterable[ImageWant], found: Mapping[str, Image], states: Iterable[DesiredState], images: Images, lower: Lower
) -> dict[str, Image]:
    """want.key → image. A name stands for its image in the newest of `states` if the services that used it there are
    unchanged in the commit; otherwise for the image in `found`.

    So a tag that was moved on this machine changes no service that the commit leaves alone, and a revert leads back to
    the image that ran. New services run the image of the services that stay.
    """
    chosen = dict(found)
    left = [want for want in wants if want.build is None]
    for state in states:
        if not left:
            break
        left = _from(state, left, chosen, images, lower)
    return chosen


def _from(
    state: DesiredState, wants: Sequence[ImageWant], chosen: dict[str, Image], images: Images, lower: Lower
) -> list[ImageWant]:
    """Adds the state's images to `chosen`; returns the wants without one."""
    known = state.services()
    used = {want.key: {s.image for s in known.values() if s.image_ref == want.ref} for want in wants}
    had = {want.key: next(iter(used[want.key])) for want in wants if len(used[want.key]) == 1}
    moved = [
        replace(want, ref=had[want.key])
        for want in wants
        if want.key in had and (want.key not in chosen or chosen[want.key].id != had[want.key])
    ]
    there = {**chosen, **images.local(moved)} if moved else chosen
    if not any(want.key in had for want in wants):
        return list(wants)
    services = lower(there).services().values()
    left = []
    for want in wants:
        users = [item for item in services if item.image_ref == want.ref and item.image == had.get(want.key)]
        users = [item for item in users if item.key in known]
        if users and all(known[item.key].spec == item.spec for item in users):
            chosen[want.key] = there[want.key]
        else:
            left.append(want)
    return left
