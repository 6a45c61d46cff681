"""What nobody has foreseen, met while a commit is read, judged or rolled out: three tries, then a verdict about it.

Otherwise one commit could keep the machine from being looked after for as long as it is the head.
"""

from __future__ import annotations

from contextlib import suppress

from loguru import logger

from reconciler.errors import Transient
from reconciler.loop.ledger import Ledger
from reconciler.model.outcome import Reason

TRIES = 3

LONGEST = 300
"""Characters of an error that are told."""

HINT = "this is a defect of reconciler: report it; it is tried again by itself"


def note(ledger: Ledger, revision: str, error: Exception) -> bool:
    """Record it with the commit, or with none (""); whether that has been tried often enough.

    What goes on and on is not recorded any more.
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
    """The way out of a verdict that a defect of ours was."""
    retry = f"`reconciler retry {revision[:12]}`"
    return f"this is a defect of reconciler: report it; push another commit, or after an update {retry}"


def fault(error: Exception) -> Transient:
    """For one that is tried again."""
    return Transient(Reason.INTERNAL_ERROR, told(error), HINT)
