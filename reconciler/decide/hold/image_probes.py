"""Health checks of images that no commit may have: the first probe comes after the gate's deadline, or the probes come
too often. Pure.

Policies judge the check in the file. The check of the image is known only when the machine has the image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from reconciler.decide.admit.policies import bounds, probes
from reconciler.decide.mounts.canonical import healthcheck
from reconciler.formats.rules import rules
from reconciler.model.desired import DesiredState, Service
from reconciler.model.documents import Gate
from reconciler.model.images import ImageDefaults, is_unresolved
from reconciler.model.observed import ObservedState
from reconciler.model.outcome import Violation


def checked_by_image(desired: DesiredState, observed: ObservedState) -> list[tuple[Service, Gate]]:
    """Services that must start and leave the health check to their image, which the machine has."""
    return [
        (service, stack.gate)
        for stack in desired.stacks
        if not stack.suspended
        for service in stack.services
        if service.replicas and healthcheck(service.config) is None and not is_unresolved(service.image)
        if not any(item.running and item.spec == service.spec for item in observed.of(*service.key))
    ]


def findings(asked: list[tuple[Service, Gate]], images: Mapping[str, ImageDefaults]) -> Iterator[Violation]:
    """`images`: by id."""
    for service, gate in asked:
        image = images.get(service.image, ImageDefaults()).healthcheck
        if (image.get("Test") or ["NONE"])[0] == "NONE":
            continue
        for rule, words in _wrong(service, gate, image):
            found = rules()[rule]
            text = f"{service.stack}/{service.name}: {words}, by the health check of its image {service.image_ref}"
            yield Violation(
                found.reason, rule, f"{text}: {found.why}", found.hint, stack=service.stack, service=service.name
            )


def _wrong(service: Service, gate: Gate, image: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """The rules that the check breaks, and how. A one-shot is good with exit 0, whatever its probes say."""
    check = service.config.get("healthcheck") or {}
    _, first = probes.first_probe(check, image)
    if first > gate.healthy_deadline and not service.completes:
        yield probes.RULE, probes.too_late(first, gate)
    shortest = min(probes.intervals(check, image))
    if shortest < bounds.SHORTEST_PROBE:
        yield bounds.PROBE_INTERVAL, bounds.too_often(f"{shortest * 1000:g}ms")
