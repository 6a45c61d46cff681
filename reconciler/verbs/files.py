"""Small files in the state folder that one process writes and others read. They are derived; the loop never reads
them."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import Field, asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from reconciler.model.outcome import Intent, Reason
from reconciler.model.plan import Action
from reconciler.model.status import Holding, Rollout, Silence

if TYPE_CHECKING:
    from reconciler.verbs.agent import Progress

T = TypeVar("T", Holding, Silence, Rollout)

LAST_MOMENT = 32_000_000_000
"""Unix seconds in the year 2984. Not every format can express later times."""


def publish(path: Path, value: Mapping[str, Any]) -> None:
    """Replace the file in one step. A full disk does not stop the agent."""
    draft = path.with_suffix(f".{os.getpid()}-{threading.get_native_id()}")
    try:
        draft.write_text(json.dumps(value, ensure_ascii=False), "utf-8")
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)


def read(path: Path) -> Mapping[str, Any]:
    """The published document; empty if there is none, or it cannot be read."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def text(record: Mapping[str, Any], field: str) -> str | None:
    """The text in a field; None if there is none, or it is no text: a file can contain anything."""
    found = record.get(field)
    return found if isinstance(found, str) else None


def moment(record: Mapping[str, Any], field: str) -> float | None:
    """Seconds of the Unix epoch that can be written as a date; None for anything else."""
    found = record.get(field)
    return found if isinstance(found, int | float) and 0 <= found < LAST_MOMENT else None


def progress_record(progress: Progress, pid: int, started_at: float, version: str) -> dict[str, Any]:
    """The acting process's progress, as other processes read it."""
    return {
        "pid": pid,
        "startedAt": started_at,
        "version": version,
        "head": progress.head,
        "fetchedAt": progress.fetched_at,
        "error": progress.error,
        "notesError": progress.notes_error,
        "holding": asdict(progress.holding) if progress.holding else None,
        "rollout": asdict(progress.rollout) if progress.rollout else None,
        "silence": asdict(progress.silence) if progress.silence else None,
    }


def holding(record: Mapping[str, Any]) -> Holding | None:
    return _read_as(record.get("holding"), lambda found: Holding(**{**found, "reason": Reason(found["reason"])}))


def silence(record: Mapping[str, Any]) -> Silence | None:
    return _read_as(record.get("silence"), lambda found: Silence(**{**found, "reason": Reason(found["reason"])}))


def rollout(record: Mapping[str, Any]) -> Rollout | None:
    def made(found: Mapping[str, Any]) -> Rollout:
        action = Action(found["action"]) if found["action"] else None
        return Rollout(**{**found, "intent": Intent(found["intent"]), "action": action})

    return _read_as(record.get("rollout"), made)


def _read_as(found: Any, made: Callable[[Mapping[str, Any]], T]) -> T | None:
    """The value; None if nothing was published, or a process of another version wrote it."""
    try:
        value = made(found) if found else None
    except (TypeError, ValueError, LookupError):
        return None
    return value if value is None or all(_fits(value, item) for item in fields(value)) else None


def _fits(value: object, field: Field[Any]) -> bool:
    there = getattr(value, field.name)
    if str(field.type).startswith("float") and there is not None:
        return isinstance(there, int | float) and 0 <= there < LAST_MOMENT
    return isinstance(there, _TYPES.get(str(field.type), object))


_TYPES: Mapping[str, Any] = {"str": str, "str | None": str | None, "int": int, "bool": bool, "float": float}
