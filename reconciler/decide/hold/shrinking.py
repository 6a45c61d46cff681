"""Detects commits that remove most services, at once or in several steps: usually a mistake."""

from __future__ import annotations

from reconciler.model.desired import DesiredState, ServiceKey
from reconciler.model.history import History
from reconciler.model.outcome import Intent, Outcome
from reconciler.values import dataclass

SHRINK = 0.5
"""A commit that drops more than this share of the services is held."""

WINDOW = 86_400.0
"""Seconds for which dropped services still count: two commits that drop half each drop three quarters."""


@dataclass(frozen=True, slots=True)
class Shrinkage:
    """`gone` of `before` services would be removed; `earlier`: earlier commits dropped some of them."""

    gone: tuple[ServiceKey, ...]
    before: int
    earlier: bool


def shrinkage(desired: DesiredState, base: DesiredState | None, dropped: frozenset[ServiceKey]) -> Shrinkage | None:
    """None if enough services stay. `base`: last good. `dropped`: services that commits removed lately.

    A service with no desired container counts as dropped.
    """
    now, stood = _standing(desired), _standing(base) if base else frozenset()
    before = stood | dropped
    gone = before - now
    if stood <= now or len(gone) <= len(before) * SHRINK:
        return None
    return Shrinkage(tuple(sorted(gone)), len(before), bool(gone - stood))


def dropped_lately(history: History, now: float) -> frozenset[ServiceKey]:
    """Services that good commits dropped in the last day, since the last commit that a person accepted."""
    found: set[ServiceKey] = set()
    for attempt in reversed(history.attempts):
        if (attempt.intent, attempt.outcome) != (Intent.ADVANCE, Outcome.SUCCEEDED):
            continue
        if attempt.revision in history.accepted or now - (attempt.ended_at or 0.0) > WINDOW:
            break
        found |= {(item.stack, item.service) for item in attempt.services if item.action == "Removed"}
    return frozenset(found)


def _standing(state: DesiredState) -> frozenset[ServiceKey]:
    return frozenset(key for key, service in state.services().items() if service.replicas > 0)
