"""Health checks of images whose first probe comes after the gate's deadline. Pure.

The file's own check is judged with the policies. That of the image is known only when the machine has the image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from reconciler.decide.admit.policies.probes import RULE, first_probe, too_late
from reconciler.decide.mounts.canonical import healthcheck
from reconciler.formats.rules import rules
from reconciler.model.desired import DesiredState, Service
from reconciler.model.documents import Gate
from reconciler.model.images import ImageDefaults, is_unresolved
from reconciler.model.observed import ObservedState
from reconciler.model.outcome import Violation


def checked_by_image(desired: DesiredState, observed: ObservedState) -> list[tuple[Service, Gate]]:
    """Services that must start and leave the health check to their image, which the machine has. A one-shot is good
    with exit 0, whatever its probes say."""
    return [
        (service, stack.gate)
        for stack in desired.stacks
        if not stack.suspended
        for service in stack.services
        if service.replicas and not service.completes
        if healthcheck(service.config) is None and not is_unresolved(service.image)
        if not any(item.running and item.spec == service.spec for item in observed.of(*service.key))
    ]


def late(asked: list[tuple[Service, Gate]], images: Mapping[str, ImageDefaults]) -> Iterator[Violation]:
    """`images`: by id."""
    rule = rules()[RULE]
    for service, gate in asked:
        image = images.get(service.image, ImageDefaults()).healthcheck
        if (image.get("Test") or ["NONE"])[0] == "NONE":
            continue
        _, first = first_probe(service.config.get("healthcheck") or {}, image)
        if first > gate.healthy_deadline:
            name = f"{service.stack}/{service.name}"
            words = f"{name}: {too_late(first, gate)}, by the health check of its image {service.image_ref}"
            yield Violation(
                rule.reason, RULE, f"{words}: {rule.why}", rule.hint, stack=service.stack, service=service.name
            )
