"""One-shots: when each ended well last, by the journal."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.model.history import History
from reconciler.model.outcome import Outcome

RAN = "RanOnce"


def last_successes(past: History) -> Mapping[tuple[str, str], float]:
    """(stack, service) → seconds of the Unix epoch, of those in attempts that succeeded."""
    return {
        (service.stack, service.service): attempt.ended_at or attempt.started_at
        for attempt in past.attempts
        if attempt.outcome is Outcome.SUCCEEDED
        for service in attempt.services
        if service.action == RAN
    }
