"""Unexpected errors while a commit is read, judged or rolled out: three tries, then its verdict.

Otherwise one commit could stop all corrections for as long as it is the head.
"""

from __future__ import annotations

from contextlib import suppress

from reconciler.errors import Transient
from reconciler.log import logger
from reconciler.loop.ledger import Ledger
from reconciler.model.outcome import Reason

TRIES = 3

LONGEST = 300
"""Characters of an error that are reported."""

HINT = "this is a defect of reconciler: report it; it is tried again by itself"


def note(ledger: Ledger, revision: str, error: Exception) -> bool:
    """Record the error with the commit, or with none (""). Returns whether the commit has been tried often enough.

    Repeated errors are not recorded any more.
    """
    logger.opt(exception=error).error("a defect of reconciler, met in commit {}: {}", revision[:12], error)
    if ledger.history.defects.get(revision, 0) >= TRIES:
        return True
    with suppress(Transient):
        ledger.append("defect", message=told(error), revision=revision)
    return ledger.history.defects.get(revision, 0) >= TRIES


def told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:LONGEST]


def refused(revision: str) -> str:
    """The hint of a verdict that was caused by a defect of this program."""
    retry = f"`reconciler retry {revision[:12]}`"
    return f"this is a defect of reconciler: report it; push another commit, or after an update {retry}"


def fault(error: Exception) -> Transient:
    """The fault for a commit that is tried again."""
    return Transient(Reason.INTERNAL_ERROR, told(error), HINT)
