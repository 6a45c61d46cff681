"""Times as texts and as numbers, and pauses that grow."""

from __future__ import annotations

from datetime import UTC, datetime


def instant(text: str) -> float:
    """Seconds of the Unix epoch of an RFC 3339 text. ValueError if it is none."""
    return datetime.fromisoformat(text).timestamp()


def engine_time(text: str) -> float | None:
    """The engine's RFC 3339 text in seconds of the Unix epoch; None for "never" (the year 1) and no text."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() if moment.year > 1 and moment.tzinfo else None


def rfc3339(seconds: float, to: str = "microseconds") -> str:
    """Seconds of the Unix epoch as RFC 3339 UTC. `to`: the smallest unit, in `datetime`'s words."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec=to).replace("+00:00", "Z")


def left(until: float, now: float, longest: float) -> float:
    """Seconds that are left of a pause, which lasts `longest` at most. If more seem to be left, the clock was set back
    since the pause began, and the pause is over."""
    remaining = until - now
    return remaining if 0 < remaining <= longest else 0.0


def backoff(failures: int, first: float, longest: float) -> float:
    """Seconds to pause after so many failures in a row (from 1): `first`, doubled each time, at most `longest`."""
    return min(first * 2.0 ** min(failures - 1, 32), longest)
