"""Judges the host paths of a commit's mounts before anything is touched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from reconciler.decide.admit.nesting import Mounted, nested, of_containers, of_state
from reconciler.loop.ports import HostFiles
from reconciler.loop.prepare import Preparer
from reconciler.model.desired import DesiredState
from reconciler.model.observed import ObservedState
from reconciler.model.ways import Obstacle


def in_the_way(
    desired: DesiredState,
    base: DesiredState | None,
    observed: ObservedState,
    links: Mapping[str, str],
    host_files: HostFiles,
    preparer: Preparer,
) -> Iterator[Obstacle]:
    """Links that a container may have made, and nested mounts of which one is added or removed by this commit.

    `base`: the rollback state. During a rollback old and new containers run side by side, so the mounts of all existing
    containers count, and those of `base`. `links`: those of adoption, place → target.
    """
    new = dict.fromkeys(of_state(desired, observed.volumes))
    before = dict.fromkeys(of_state(base, observed.volumes)) if base is not None else {}
    every = {**new, **before, **dict.fromkeys(of_containers(observed, links))}
    ways = host_files.ways({place.path for place in every}, links)
    for path in dict.fromkeys(place.path for place in new):
        obstacle = ways[path].obstacle if path in ways else None
        if obstacle is not None:
            yield obstacle
    known = set(nested(before, before, ways, links))  # it runs with both mounts already, so nothing gets worse
    for inner, outer in nested(every, every, ways, links):
        changes = inner in new or outer in new
        if changes and (inner, outer) not in known and not preparer.may_nest(inner, outer):
            yield _told(inner, outer, new, preparer)


def _told(inner: Mounted, outer: Mounted, new: Mapping[Mounted, None], preparer: Preparer) -> Obstacle:
    what = f"{inner.stack}/{inner.service}: {preparer.lies_in(inner, outer)}"
    old = next((place for place in (inner, outer) if place not in new), None)
    if old is None:
        return Obstacle(what, "Mount the outer one read-only, or folders that lie beside each other.")
    return Obstacle(
        f"{what}; a rollout and its rollback would have both",
        f"Take two commits: one in which {old.stack}/{old.service} does not mount {old.path} any more, and when that "
        "is good, this one. Or use a folder that lies beside the other one.",
    )
