"""Words for the state of a commit, a turn or a service. They are stable, because scripts rely on them."""

from __future__ import annotations

from enum import StrEnum

from reconciler.model.needs import Need
from reconciler.values import dataclass


class Reason(StrEnum):
    """The reason, as one word for scripts (names follow Flux and Argo CD if they have one)."""

    RECONCILIATION_SUCCEEDED = "ReconciliationSucceeded"
    DEPENDENCY_NOT_READY = "DependencyNotReady"
    HEALTH_CHECK_FAILED = "HealthCheckFailed"
    OUT_OF_MEMORY = "OutOfMemory"
    CRASHED = "Crashed"
    ENGINE_REFUSED = "EngineRefused"
    BUILD_FAILED = "BuildFailed"
    PULL_FAILED = "PullFailed"
    PARSE_FAILED = "ParseFailed"
    SCHEMA_INVALID = "SchemaInvalid"
    POLICY_VIOLATION = "PolicyViolation"
    FILE_MISSING = "FileMissing"
    SECRETS_UNUSABLE = "SecretsUnusable"
    BUDGET_EXCEEDED = "BudgetExceeded"
    LIMITS_NOT_ENFORCED = "LimitsNotEnforced"
    SIGNATURE_INVALID = "SignatureInvalid"
    NOT_FAST_FORWARD = "NotFastForward"
    CONSENT_MISSING = "ConsentMissing"
    ROLLED_BACK = "RolledBack"
    ROLLBACK_FAILED = "RollbackFailed"
    REVISION_QUARANTINED = "RevisionQuarantined"
    SUPERSEDED = "Superseded"
    DRIFT_CORRECTED = "DriftCorrected"
    ENGINE_UNAVAILABLE = "EngineUnavailable"
    FETCH_FAILED = "FetchFailed"
    SUSPENDED = "Suspended"
    STALLED = "Stalled"
    INTERRUPTED = "Interrupted"
    LOCKED = "Locked"
    DISK_FAILED = "DiskFailed"
    HOST_UNREACHABLE = "HostUnreachable"
    SERVICE_FAILED = "ServiceFailed"
    USAGE_INVALID = "UsageInvalid"
    INTERNAL_ERROR = "InternalError"


class Outcome(StrEnum):
    """How a turn, or an attempt at a commit, ended."""

    STARTED = "Started"
    UNCHANGED = "Unchanged"
    SUCCEEDED = "Succeeded"
    REJECTED = "Rejected"
    ROLLED_BACK = "RolledBack"
    ROLLBACK_FAILED = "RollbackFailed"
    SUPERSEDED = "Superseded"
    HELD = "Held"
    INTERRUPTED = "Interrupted"
    FAILED = "Failed"


class Intent(StrEnum):
    """The direction of a plan: to a new commit, back to the last good one, or repairing it."""

    ADVANCE = "Advance"
    REPAIR = "Repair"
    REVERT = "Revert"


class CommitState(StrEnum):
    """A commit's one final state, as reported on the commit."""

    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"
    SUPERSEDED = "superseded"


class Level(StrEnum):
    DENY = "deny"
    WARN = "warn"


RETRIED = "retried: it was "
"""Beginning of a line about an earlier final state of the commit, which an operator has opened again."""


@dataclass(frozen=True, slots=True)
class FinalReport:
    """The report about a commit with a final state. `duration` in seconds; `lines` are text for people.

    `attempt` None: nothing was started. `content` None: it ended before its content was known.
    """

    host: str
    revision: str
    state: CommitState
    reason: Reason
    message: str
    attempt: str | None = None
    content: str | None = None
    reverted_to: str | None = None
    duration: float = 0.0
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Violation:
    """One finding in a commit, with its place. `path` is relative to the repository's root; line and column from 1.

    `need`: the entry that would lift it, as `hint` explains it to people; None if no entry does.
    """

    reason: Reason
    rule: str
    message: str
    hint: str
    path: str | None = None
    line: int | None = None
    column: int | None = None
    pointer: str | None = None
    level: Level = Level.DENY
    stack: str | None = None
    service: str | None = None
    need: Need | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a service failed its health gate. `log` has at most 20 masked lines."""

    reason: Reason
    message: str
    stack: str | None = None
    service: str | None = None
    exit_code: int | None = None
    health_output: str | None = None
    log: tuple[str, ...] = ()
