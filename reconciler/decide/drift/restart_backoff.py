"""Restart backoff of a failed or unhealthy container, and when to give up."""

from __future__ import annotations

from reconciler.model.history import RestartBackoff
from reconciler.model.times import backoff, left

FIRST_DELAY, LONGEST_DELAY = 10.0, 600.0
"""Seconds between two starts of a service, doubled each time; the first start comes at once."""

MOST, WITHIN = 5, 600.0
"""Number of starts within this number of seconds after which we give up."""

LEFT_ALONE = f"after {MOST} starts within {WITHIN / 60:g} minutes it is left alone until it stays healthy"

REMEMBERED = 3600.0
"""Seconds after which a start no longer counts."""


def begin_anew(revision: str) -> str:
    """The hint for a person. `revision`: last good, '' if that is no commit."""
    retry = f" or `reconciler retry {revision[:12]}`" if revision else ""
    return f"look at its log; a new commit{retry} begins anew"


def started_again(backoff: RestartBackoff, at: float) -> RestartBackoff:
    """One more start, at `at`."""
    # The clock was set back after a start whose time is in the future: such a start no longer counts.
    times = (*(time for time in backoff.times if 0 <= at - time < REMEMBERED), at)
    recent = [time for time in times if at - time < WITHIN]
    return RestartBackoff(times, backoff.given_up or len(recent) >= MOST)


def not_started(backoff: RestartBackoff) -> RestartBackoff:
    """The backoff without its last start, which failed."""
    return RestartBackoff(backoff.times[:-1])


def next_start(known: RestartBackoff | None, now: float) -> float | None:
    """The time of the next start (Unix seconds); None: gave up."""
    if known is None:
        return 0.0
    if known.given_up:
        return None
    counted = [time for time in known.times if now - time < REMEMBERED]
    if not counted:
        return 0.0
    again = counted[-1] + backoff(len(counted), FIRST_DELAY, LONGEST_DELAY)
    return again if left(again, now, LONGEST_DELAY) else 0.0


def recovered(backoff: RestartBackoff, now: float) -> bool:
    """Whether a healthy service that we gave up has recovered: enough time has passed since our last start."""
    return backoff.given_up and not left(backoff.times[-1] + WITHIN, now, WITHIN)
