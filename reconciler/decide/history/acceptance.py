"""The time at which a commit was accepted, from the journal: signatures are judged as of then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.decide.history.fold_state import time_of


def moment_of(revision: str, records: Iterable[Mapping[str, Any]], now: float) -> float:
    """Seconds of the Unix epoch. A commit is accepted when its first rollout starts, or when it becomes good without
    one; until then the result is `now`, but never earlier than the newest record."""
    newest = None
    for record in records:
        newest = record
        if record.get("revision") == revision and (record["kind"] == "started" or record.get("good")):
            return time_of(record)
    return now if newest is None else max(now, time_of(newest))
