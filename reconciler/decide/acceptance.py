"""When a commit was accepted, by what the journal says: signatures are judged as of then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any


def moment_of(revision: str, records: Iterable[Mapping[str, Any]], now: float) -> float:
    """Seconds of the Unix epoch. A commit is accepted when its first rollout starts, or when it becomes good without
    one; until then it is `now`, but never earlier than what was recorded last: time does not run backwards.
    """
    newest = None
    for record in records:
        newest = record["at"]
        if record.get("revision") == revision and (record["kind"] == "started" or record.get("good")):
            return _seconds(newest)
    return now if newest is None else max(now, _seconds(newest))


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()
