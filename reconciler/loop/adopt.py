"""Adoption of containers that plain Compose started. This module reads the machine; `decide.drift.adoption` judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from reconciler.decide.drift import adoption
from reconciler.decide.drift.adoption import Verdict
from reconciler.decide.drift.overlay import overlay
from reconciler.errors import Transient
from reconciler.loop.ports import HostFiles
from reconciler.model.desired import DesiredState
from reconciler.model.files import Entry, Files, below
from reconciler.model.history import Adopted
from reconciler.model.images import Image
from reconciler.model.observed import ObservedState
from reconciler.model.outcome import Reason


def recognise(
    target: DesiredState,
    observed: ObservedState,
    adopted: Mapping[str, Adopted],
    files: Files,
    images: Mapping[str, Image],
    host_files: HostFiles,
    data: str,
) -> tuple[ObservedState, Verdict]:
    """Observed state without unmanaged containers, and which containers match services of `target`, by which facts.

    `images`: those of `target`, by id. `files`: of the target's commit; read only where something has to be compared.
    """
    own = adoption.without_unmanaged(observed, target, adopted)
    paths = {tree.digest: tree.path for tree in target.trees if tree.path is not None}
    same = frozenset(
        asked
        for asked in adoption.questions(target, own, adopted)
        if host_files.holds(asked.path, _program(below(files, paths[asked.digest] or "")), asked.since)
    )
    return own, adoption.judge(target, own, adopted, same, images, data)


def _program(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """The commit's files without those that only `init` wrote: a service that mounts the whole project does not use
    them."""
    return {
        name: entry
        for name, entry in entries.items()
        if "desired-state" not in entry.path.split("/")[:-1] and not entry.path.endswith(".gitignore")
    }


def refuse_to_hide(verdict: Verdict) -> None:
    """Transient if the commit would replace a service's data by an empty folder."""
    for (stack, service), found, wanted in verdict.hidden:
        raise Transient(
            Reason.DEPENDENCY_NOT_READY,
            f"{stack}/{service} keeps data in {found}, and the commit would give it {wanted}, which is another folder",
            f"make {wanted} a link to {found}, or move the data there while the service is stopped",
        )


def record(verdict: Verdict) -> dict[str, object]:
    """The journal's fields about the adopted containers."""
    return {
        "containers": {
            name: {
                "stack": item.stack,
                "spec": item.spec,
                "mounts": {target: list(mount) for target, mount in item.mounts.items()},
                "image": item.image,
            }
            for name, item in verdict.records.items()
        },
        "links": dict(verdict.links),
    }


def with_verdict(observed: ObservedState, adopted: Mapping[str, Adopted], verdict: Verdict, host: str) -> ObservedState:
    known = {
        **adopted,
        **{
            name: replace(item, proven=name in adopted and adopted[name].proven)
            for name, item in verdict.records.items()
        },
    }
    return overlay(observed, known, host)
