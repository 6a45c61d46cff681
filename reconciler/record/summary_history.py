"""Documents of past turns: how a turn ended, the attempts, and operators' requests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reconciler.model.history import Attempt, Held, Planned, ServiceRecord
from reconciler.model.outcome import Failure, Intent, Outcome, Reason, Violation
from reconciler.model.requests import Answered
from reconciler.record.contract import Document, document, moment, violation, word


def turn(
    *,
    outcome: Outcome,
    reason: Reason | None,
    message: str,
    effects: int,
    duration: float,
    revision: str | None = None,
    intent: Intent | None = None,
    attempt: str | None = None,
    reverted_to: str | None = None,
    hint: str = "",
    failure: Failure | None = None,
    services: Sequence[ServiceRecord] = (),
    violations: Sequence[Violation] = (),
    warnings: Sequence[Violation] = (),
) -> Document:
    """The end of one turn. `duration` in seconds; `effects`: number of changes by this process."""
    return document("Turn") | {
        "revision": revision,
        "intent": word(intent),
        "outcome": outcome.value,
        "reason": word(reason),
        "message": message,
        "hint": hint,
        "attempt": attempt,
        "revertedTo": reverted_to,
        "effects": effects,
        "durationSeconds": _seconds(duration),
        "services": [_service_record(item) for item in services],
        "failure": _failure(failure),
        "violations": [violation(item) for item in violations],
        "warnings": [violation(item) for item in warnings],
    }


def history(
    attempts: Iterable[Attempt],
    requests: Iterable[Answered] = (),
    held: Sequence[Held] = (),
    limit: int | None = None,
) -> Document:
    """Attempts, holds and requests, newest first. `limit`: rows."""
    rows = [*((item.started_at, _attempt(item)) for item in attempts), *((item.since, _held(item)) for item in held)]
    if held:
        rows.sort(key=lambda row: row[0], reverse=True)
    return document("History") | {
        "attempts": [row for _, row in rows[:limit]],
        "requests": [_request(item) for item in requests],
    }


def request(value: Answered, *, waiting: bool = False) -> Document:
    """A request of an operator, and the answer. `waiting`: there is no answer yet."""
    return document("Request") | _request(value) | ({"outcome": "Waiting"} if waiting else {})


def _request(value: Answered) -> Document:
    return {
        "id": value.id,
        "verb": value.verb.value,
        "outcome": "Done" if value.done else "Refused",
        "message": value.message,
        "hint": value.hint,
        "revision": value.revision,
        "reason": value.why or None,
        "until": moment(value.until),
        "at": moment(value.at),
    }


def _seconds(value: float) -> float:
    return round(value, 3)


def _service_record(value: ServiceRecord) -> Document:
    return {
        "stack": value.stack,
        "service": value.service,
        "action": value.action,
        "downtimeSeconds": _seconds(value.downtime),
    }


def _plan(value: Planned | None) -> Document | None:
    if value is None:
        return None
    return {
        "restarts": list(value.restarts),
        "creates": list(value.creates),
        "removes": list(value.removes),
        "downtime": [
            {"stack": stack, "service": service, "atMostSeconds": _seconds(seconds)}
            for name, seconds in value.downtime
            for stack, _, service in [name.partition("/")]
        ],
        "peakBytes": value.peak,
        "boundBytes": value.bound,
    }


def _failure(value: Failure | None) -> Document | None:
    if value is None:
        return None
    return {
        "stack": value.stack,
        "service": value.service,
        "reason": value.reason.value,
        "message": value.message,
        "exitCode": value.exit_code,
        "healthOutput": value.health_output,
        "log": list(value.log),
    }


def _held(value: Held) -> Document:
    """A hold, in the form of an attempt that never began."""
    ended = value.ended_at
    return _attempt(Attempt("", value.revision, Intent.ADVANCE, value.since, warnings=value.warnings)) | {
        "id": None,
        "outcome": value.outcome.value,
        "reason": value.reason.value,
        "message": value.message,
        "endedAt": moment(ended),
        "durationSeconds": None if ended is None else _seconds(max(0.0, ended - value.since)),
        "lines": [value.hint] if value.hint else [],
    }


def _attempt(value: Attempt) -> Document:
    ended = value.ended_at
    return {
        "id": value.id,
        "revision": value.revision,
        "contentKey": value.content,
        "intent": value.intent.value,
        "outcome": value.outcome.value,
        "reason": word(value.reason),
        "message": value.message,
        "startedAt": moment(value.started_at),
        "endedAt": moment(ended),
        "durationSeconds": None if ended is None else _seconds(max(0.0, ended - value.started_at)),
        "final": value.final,
        "before": value.before,
        "revertedTo": value.reverted_to,
        "plan": _plan(value.planned),
        "services": [_service_record(item) for item in value.services],
        "failure": _failure(value.failure),
        "lines": list(value.lines),
        "warnings": [violation(item) for item in value.warnings],
    }
