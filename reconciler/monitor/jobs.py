"""When the last good attempt that ran each one-shot ended. The journal does not say when the one-shot itself ended."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.model.history import History
from reconciler.model.outcome import Outcome

RAN = "RanOnce"


def last_successes(past: History) -> Mapping[tuple[str, str], float]:
    """(stack, service) → end of the newest successful attempt that ran the one-shot, in seconds of the Unix epoch."""
    return {
        (service.stack, service.service): attempt.ended_at or attempt.started_at
        for attempt in past.attempts
        if attempt.outcome is Outcome.SUCCEEDED
        for service in attempt.services
        if service.action == RAN
    }
