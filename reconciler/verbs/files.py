"""Small files in the state folder that one process writes for the others to read. Derived; never read by the loop."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reconciler.model.outcome import Intent, Reason
from reconciler.model.plan import Action
from reconciler.model.status import Holding, Rollout, Silence
from reconciler.verbs.agent import Progress


def publish(path: Path, value: Mapping[str, Any]) -> None:
    """Replace the file in one go. A full disk is no reason to stop working."""
    draft = path.with_suffix(f".{os.getpid()}-{threading.get_native_id()}")
    try:
        draft.write_text(json.dumps(value, ensure_ascii=False))
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)


def read(path: Path) -> Mapping[str, Any]:
    """What was published; empty where nothing was, or it cannot be read."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def progress_record(progress: Progress, pid: int, started_at: float, version: str) -> dict[str, Any]:
    """What the process that works tells the others."""
    return {
        "pid": pid,
        "startedAt": started_at,
        "version": version,
        "head": progress.head,
        "fetchedAt": progress.fetched_at,
        "error": progress.error,
        "holding": asdict(progress.holding) if progress.holding else None,
        "rollout": asdict(progress.rollout) if progress.rollout else None,
        "silence": asdict(progress.silence) if progress.silence else None,
    }


def holding(record: Mapping[str, Any]) -> Holding | None:
    found = record.get("holding")
    return Holding(**{**found, "reason": Reason(found["reason"])}) if found else None


def silence(record: Mapping[str, Any]) -> Silence | None:
    found = record.get("silence")
    return Silence(**{**found, "reason": Reason(found["reason"])}) if found else None


def rollout(record: Mapping[str, Any]) -> Rollout | None:
    found = record.get("rollout")
    if not found:
        return None
    action = Action(found["action"]) if found["action"] else None
    return Rollout(**{**found, "intent": Intent(found["intent"]), "action": action})
