"""The stop grace period of a container."""

from __future__ import annotations

from reconciler.model.desired import DEFAULT_GRACE, Service
from reconciler.model.history import FOUND_SPEC
from reconciler.model.observed import Container
from reconciler.model.outcome import Intent


def grace_of(
    container: Container, *, was: Service | None, wanted: Service | None, intent: Intent, longest: float
) -> float:
    """Seconds between its stop signal and its end by force: as set at its creation, at most `longest`.

    `was`, `wanted`: the service before and after. During a rollback, containers of the failed commit get at most the
    engine's default, because the earlier services wait.
    """
    known = next((service.grace for service in (was, wanted) if service is not None), DEFAULT_GRACE)
    grace = min(known if container.grace is None else container.grace, longest)
    if intent is Intent.REVERT and _never_good(container, wanted):
        return min(grace, DEFAULT_GRACE)
    return grace


def _never_good(container: Container, good: Service | None) -> bool:
    """Containers that plain Compose started count as good."""
    if container.spec is None or container.spec.startswith(FOUND_SPEC):
        return False
    return good is None or good.spec != container.spec
