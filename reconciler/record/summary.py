"""Values → the documents of our JSON contract. Unknown is null, never left out.

Documents of past turns, of the status and of `validate` have modules of their own, beside this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from reconciler.model import plan as plans
from reconciler.model.checks import Check
from reconciler.model.documents import BindGrant, Grant
from reconciler.model.engine import Engine, record_of
from reconciler.model.outcome import Violation
from reconciler.model.uses import Use
from reconciler.record.contract import Document, document, moment, violation
from reconciler.record.summary_history import history, request, turn
from reconciler.record.summary_status import fetched_again, status
from reconciler.record.summary_validation import needed, validation

if TYPE_CHECKING:
    from reconciler.model.admission import Needs
    from reconciler.model.proposal import Left, Limit, Project, Values

__all__ = [
    "doctor",
    "error",
    "fetched_again",
    "history",
    "init",
    "notify_test",
    "plan",
    "policy_use",
    "request",
    "status",
    "turn",
    "validation",
    "violation",
]


def init(
    host: str,
    folder: str,
    files: Sequence[str],
    projects: Sequence[Project],
    limits: Sequence[Limit],
    restarts: Iterable[tuple[str, str, Sequence[str]]],
    violations: Sequence[Violation],
    skipped: Sequence[str],
    adopt: Sequence[str],
    trust: str | None,
    left: Sequence[Left],
    values: Sequence[Values],
    notes: Sequence[str],
    needs: Needs | None,
    bare: bool = False,
) -> Document:
    """What was written for which services, and what the first turn would do. `restarts`: stack, service, causes.

    `adopt`: projects that the present agent config does not let commits take over yet. `trust`: of a new agent config,
    None if none was written. `left`: projects that become no stack; `values`: env files that do not belong into git;
    `notes`: what a person should know about names. `needs`: what would admit the commit, None if nothing was written.
    `bare`: it made a bare repository instead; `notes` are the next steps.
    """
    return document("Init") | {
        "host": host,
        "folder": folder,
        "bare": bare,
        "files": list(files),
        "stacks": [
            {
                "name": item.name,
                "files": list(item.files),
                "profiles": list(item.profiles),
                "services": [_limit(limit) for limit in limits if limit.stack == item.name],
            }
            for item in projects
        ],
        "restarts": [
            {"stack": stack, "service": service, "causes": list(causes)} for stack, service, causes in restarts
        ],
        "violations": [violation(item) for item in violations],
        "skipped": list(skipped),
        "adopt": list(adopt),
        "trust": trust,
        "left": [{"files": list(item.files), "reason": item.reason} for item in left],
        "values": [
            {"path": item.path, "stack": item.stack, "names": list(item.names), "hint": item.hint} for item in values
        ],
        "notes": list(notes),
        "needs": None if needs is None else needed(needs),
    }


def policy_use(unused: Sequence[tuple[Grant | BindGrant, Use]], entries: int, days: int) -> Document:
    """Entries of the operator that nothing has used for `days`. `entries`: number of entries in the config."""
    return document("PolicyUse") | {
        "days": days,
        "entries": entries,
        "unused": [_unused(item, use) for item, use in unused],
    }


def notify_test(targets: Sequence[tuple[str, bool, str]]) -> Document:
    """What became of a notification to each target: its masked address, whether it was accepted, and what was said."""
    return document("NotifyTest") | {
        "targets": [{"url": url, "ok": ok, "message": message} for url, ok, message in targets]
    }


def _unused(item: Grant | BindGrant, use: Use) -> Document:
    bind = item if isinstance(item, BindGrant) and not item.bundle else None
    grant = item if isinstance(item, Grant) and not item.bundle else None
    return {
        "bundle": item.bundle or None,
        "policy": grant.policy if grant else None,
        "values": list(grant.values) if grant else [],
        "path": bind.path if bind else None,
        "stack": item.stack,
        "service": item.service,
        "reason": item.reason,
        "firstSeenAt": moment(use.since),
        "lastUsedAt": moment(use.last),
    }


def plan(value: plans.Plan, outlook: plans.Outlook = plans.OPEN) -> Document:
    """The steps in order, what they cost, and the outcome of the next turn."""
    return document("Plan") | {
        "revision": value.revision,
        "base": value.base,
        "intent": value.intent.value,
        "outcome": outlook.outcome.value if outlook.outcome else None,
        "reason": outlook.reason.value if outlook.reason else None,
        "message": outlook.message,
        "hint": outlook.hint,
        "changes": value.changes,
        "steps": [_step(step) for step in value.steps],
        "restarts": [f"{stack}/{service}" for stack, service in value.restarts],
        "downtime": [
            {
                "stack": item.stack,
                "service": item.service,
                "order": item.order,
                "atMostSeconds": item.at_most,
                "why": item.why or None,
                "untried": item.untried or None,
            }
            for item in value.downtime
        ],
        "peakBytes": value.peak,
        "boundBytes": value.bound,
        "defaults": [
            {"key": item.key, "value": item.value, "services": [f"{stack}/{name}" for stack, name in item.services]}
            for item in value.defaults
        ],
        "violations": [violation(item) for item in value.violations],
    }


def doctor(checks: Iterable[Check], engine: Engine | None = None) -> Document:
    """The checks. `ok` is null if a check could not run. `engine` None: it does not answer."""
    rows = [{"name": item.name, "ok": item.ok, "message": item.message, "hint": item.hint} for item in checks]
    return document("Doctor") | {"checks": rows, "engine": None if engine is None else record_of(engine)}


def error(reason: str, message: str, hint: str = "", details: Sequence[str] = ()) -> Document:
    """Why there is no other document."""
    return document("Error") | {
        "reason": reason,
        "message": message,
        "hint": hint,
        "details": list(details),
    }


def _limit(value: Limit) -> Document:
    return {
        "stack": value.stack,
        "service": value.service,
        "limitBytes": value.bytes,
        "usedBytes": value.used,
        "origin": value.origin.value,
    }


def _step(value: plans.Step) -> Document:
    return {
        "n": value.n,
        "action": value.action.value,
        "stack": value.stack,
        "service": value.service,
        "container": value.container,
        "cause": value.cause,
        "memoryAfterBytes": value.memory_after,
    }
