"""One line of a commit status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reconciler.model.history import Attempt, Planned
from reconciler.model.outcome import Outcome
from reconciler.record.reporter import told_message
from reconciler.report.messages import Message, State

MIB = 1 << 20
NAMED = 4
"""Number of services that are named in one line."""


def description(message: Message, output: bool = True) -> str:
    """The text of a status. `output`: with output of the commit's programs."""
    attempt = replace(message.attempt, message=told_message(message.attempt, output))
    return " ".join(_said(replace(message, attempt=attempt)).split())


def _said(message: Message) -> str:
    attempt = message.attempt
    if message.held:
        return f"waits: {message.held}: {attempt.message}" if attempt.message else f"waits: {message.held}"
    match message.state:
        case State.PENDING:
            return "being prepared; nothing was touched yet"
        case State.RUNNING:
            return plan_line(attempt.planned or Planned(), message.stack)
        case State.SUCCESS:
            return _succeeded(attempt, message.stack)
        case State.SUPERSEDED:
            return f"superseded: {attempt.message}"
    return _failed(attempt, message.stack)


def plan_line(planned: Planned, stack: str = "") -> str:
    """A plan in one line; with `stack`, the part about that stack."""
    restarts, creates, removes = (_of(stack, item) for item in (planned.restarts, planned.creates, planned.removes))
    parts = [f"{verb} {named(items)}" for verb, items in _verbs(restarts, creates, removes) if items]
    if not parts:
        return "nothing has to restart"
    down = [seconds for name, seconds in planned.downtime if not stack or name.startswith(f"{stack}/")]
    if restarts and down:
        parts.append(f"each down for at most {max(down):.0f} s")
    if not stack:
        parts.append(f"memory {planned.before // MIB} → {planned.after // MIB} MiB")
    return "; ".join(parts)


def named(services: Sequence[str]) -> str:
    """Some of them by name, the rest as a number."""
    shown = ", ".join(services[:NAMED])
    return shown + (f" and {len(services) - NAMED} more" if len(services) > NAMED else "")


def duration(attempt: Attempt) -> float:
    """Seconds from the attempt's start to its end."""
    return max(0.0, (attempt.ended_at or attempt.started_at) - attempt.started_at)


def changed(attempt: Attempt, stack: str = "") -> list[str]:
    """Services that the attempt changed."""
    done = [f"{item.stack}/{item.service}" for item in attempt.services if item.action != "Unchanged"]
    return [name for name in done if not stack or name.startswith(f"{stack}/")]


def _verbs(restarts: Sequence[str], creates: Sequence[str], removes: Sequence[str]) -> list[tuple[str, Sequence[str]]]:
    return [("restarts", restarts), ("starts", creates), ("removes", removes)]


def _of(stack: str, names: Sequence[str]) -> list[str]:
    return [name for name in names if not stack or name.startswith(f"{stack}/")]


def _succeeded(attempt: Attempt, stack: str) -> str:
    done = changed(attempt, stack)
    if not done:
        return "healthy; nothing had to restart"
    return f"healthy after {duration(attempt):.0f} s; changed {named(done)}"


def _failed(attempt: Attempt, stack: str) -> str:
    failure = attempt.failure
    whose = f"{failure.stack}/{failure.service}" if failure and failure.stack and failure.service else ""
    if stack and failure is not None and failure.stack not in (None, stack):
        return f"{verdict(attempt)} because of {whose}"
    return f"{verdict(attempt)}: {attempt.reason or ''}: {attempt.message}"


def verdict(attempt: Attempt) -> str:
    """The outcome in words."""
    return _VERDICTS.get(attempt.outcome, "failed")


_VERDICTS = {
    Outcome.SUCCEEDED: "healthy",
    Outcome.REJECTED: "rejected, nothing was touched",
    Outcome.ROLLED_BACK: "rolled back",
    Outcome.ROLLBACK_FAILED: "failed, and so did the rollback",
    Outcome.SUPERSEDED: "superseded",
    Outcome.FAILED: "could not be tried",
}
