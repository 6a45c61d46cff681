"""The document of `validate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from reconciler.model.outcome import Level, Violation
from reconciler.record.contract import Document, document, violation

if TYPE_CHECKING:
    from reconciler.model.admission import Budget, Needs


def validation(
    violations: Sequence[Violation],
    revision: str | None = None,
    budget: Budget | None = None,
    skipped: Sequence[str] = (),
    needs: Needs | None = None,
) -> Document:
    """Findings in a commit or a folder. `skipped`: checks that could not run here, and why."""
    return document("Validation") | {
        "valid": not any(item.level is Level.DENY for item in violations),
        "revision": revision,
        "violations": [violation(item) for item in violations],
        "budget": None if budget is None else _budget(budget),
        "skipped": list(skipped),
        "needs": None if needs is None else needed(needs),
    }


def needed(value: Needs) -> Document:
    """What a commit needs of the agent config, as `init` and `validate --grants` print it."""
    return {
        "grants": [dict(item) for item in value.grants],
        "binds": [dict(item) for item in value.binds],
        "exports": [
            {"stack": stack, "networks": list(item.networks), "volumes": list(item.volumes)}
            for stack, item in value.exports.items()
        ],
        "variables": [{"stack": stack, "names": list(names)} for stack, names in value.variables.items()],
        "others": [violation(item) for item in value.others],
    }


def _budget(value: Budget) -> Document:
    return {
        "budgetBytes": value.budget_bytes,
        "steadyLimitBytes": value.steady_limit_bytes,
        "reserveBytes": value.reserve_bytes,
        "steadyBytes": value.steady_bytes,
        "peakBytes": value.peak_bytes,
        "overBytes": value.over_bytes,
        "rows": [
            {
                "stack": row.stack,
                "service": row.service,
                "replicas": row.replicas,
                "limitBytes": row.limit,
                "overheadBytes": row.overhead,
                "default": row.default,
            }
            for row in value.rows
        ],
        "volumes": [{"stack": item.stack, "volume": item.volume, "sizeBytes": item.size} for item in value.volumes],
    }
