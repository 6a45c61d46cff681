"""Gives adopted containers the specs of the services that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from reconciler.model.history import Adopted
from reconciler.model.observed import Container, ObservedState


def overlay(observed: ObservedState, adopted: Mapping[str, Adopted], host: str) -> ObservedState:
    """The observed state, with the specs of adopted containers."""
    images = dict(observed.images)
    containers = []
    for item in observed.containers:
        record = adopted.get(item.id) if item.host is None else None
        if record is not None and record.image is not None and item.image in images:
            images.setdefault(record.image, images[item.image])
        containers.append(item if record is None else as_adopted(item, record, host))
    return replace(observed, containers=tuple(containers), images=images)


def as_adopted(item: Container, record: Adopted, host: str) -> Container:
    """The container with its service's spec. A container with a spec of its own is compared with nothing."""
    facts = dict(item.facts)
    if record.itself:
        facts = {}
    elif facts:
        facts["mounts"] = {**facts.get("mounts", {}), **record.mounts}
        facts["image"] = record.image or facts.get("image", item.image)
    return replace(item, host=host, spec=record.spec, image=record.image or item.image, facts=facts)
