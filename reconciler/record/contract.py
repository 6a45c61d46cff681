"""What all documents of our JSON contract have in common."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from reconciler.model.outcome import Violation
from reconciler.model.times import rfc3339

API_VERSION = "reconciler/v1"

Document = dict[str, Any]


def document(kind: str) -> Document:
    """The two fields that every document begins with."""
    return {"apiVersion": API_VERSION, "kind": kind}


def word(value: StrEnum | None) -> str | None:
    """An enum's stable text; null if there is none."""
    return None if value is None else value.value


def moment(seconds: float | None) -> str | None:
    """Seconds of the Unix epoch as RFC 3339 UTC, to the millisecond."""
    return None if seconds is None else rfc3339(seconds, "milliseconds")


def violation(value: Violation) -> Document:
    """One mistake, with its place."""
    return {
        "path": value.path,
        "line": value.line,
        "column": value.column,
        "pointer": value.pointer,
        "reason": value.reason.value,
        "rule": value.rule,
        "level": value.level.value,
        "stack": value.stack,
        "service": value.service,
        "message": value.message,
        "hint": value.hint,
    }
