"""Attempts and histories as the journal tells them."""

from __future__ import annotations

from typing import Any

from reconciler.model.history import Attempt, History, Planned, ServiceRecord
from reconciler.model.outcome import CommitState, Failure, Intent, Level, Outcome, Reason, Violation

GOOD, BAD, BACK = "a" * 40, "b" * 40, "c" * 40
MIB = 1 << 20
PLANNED = Planned(
    restarts=("shop/web",), creates=("shop/db",), downtime=(("shop/web", 40.0),), before=512 * MIB, after=600 * MIB,
    peak=700 * MIB, bound=4096 * MIB, images=(("shop/web", "web:2"),),
)  # fmt: skip


def attempt(name: str, revision: str, at: float, **more: Any) -> Attempt:
    return Attempt(name, revision, Intent.ADVANCE, at, **more)


def running(revision: str = GOOD, at: float = 100.0, name: str = "1-aaaaaaaa") -> Attempt:
    return attempt(name, revision, at, stacks=("shop",), planned=PLANNED, content="c1")


def good(revision: str = GOOD, at: float = 100.0, name: str = "1-aaaaaaaa", **more: Any) -> Attempt:
    known: dict[str, Any] = {
        "outcome": Outcome.SUCCEEDED, "reason": Reason.RECONCILIATION_SUCCEEDED, "message": "healthy",
        "ended_at": at + 41.0, "final": True, "state": CommitState.SUCCESS, "stacks": ("shop",), "planned": PLANNED,
        "services": (ServiceRecord("shop", "web", "Switched", 3.25), ServiceRecord("shop", "db", "Unchanged")),
    }  # fmt: skip
    return attempt(name, revision, at, **{**known, **more})


def bad(revision: str = BAD, at: float = 200.0, name: str = "2-bbbbbbbb", **more: Any) -> Attempt:
    known: dict[str, Any] = {
        "outcome": Outcome.ROLLED_BACK, "reason": Reason.HEALTH_CHECK_FAILED,
        "message": f"shop/web is unhealthy; back at {GOOD[:12]}", "ended_at": at + 18.0, "final": True,
        "state": CommitState.FAILURE, "stacks": ("blog", "shop"), "planned": PLANNED, "reverted_to": GOOD,
        "services": (ServiceRecord("shop", "web", "Switched", 12.5),),
        "failure": Failure(Reason.HEALTH_CHECK_FAILED, "shop/web is unhealthy", "shop", "web", None,
                           "connection refused", ("starting", "cannot connect to db:5432")),
        "warnings": (Violation(Reason.POLICY_VIOLATION, "image-latest", "web:latest moves", "name a version",
                               "compose.yaml", 3, 5, level=Level.WARN),),
    }  # fmt: skip
    return attempt(name, revision, at, **{**known, **more})


def back(at: float = 300.0, name: str = "3-cccccccc") -> Attempt:
    return attempt(
        name, BACK, at, outcome=Outcome.SUCCEEDED, reason=Reason.RECONCILIATION_SUCCEEDED,
        message=f"the same content as {GOOD[:12]}, which runs", ended_at=at, final=True, state=CommitState.SUCCESS,
    )  # fmt: skip


def overtaken(revision: str, at: float, name: str, **more: Any) -> Attempt:
    return attempt(
        name, revision, at, outcome=Outcome.SUPERSEDED, reason=Reason.SUPERSEDED, message="cccccccccccc took over",
        ended_at=at, final=True, state=CommitState.SUPERSEDED, **more,
    )  # fmt: skip


def history(*attempts: Attempt, **more: Any) -> History:
    seen = tuple(dict.fromkeys(item.revision for item in attempts))
    finals = {item.revision: item for item in attempts if item.final}
    return History(**{"attempts": attempts, "seen": seen, "finals": finals, **more})
