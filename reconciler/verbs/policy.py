"""`policy unused`: grants and binds that nothing has used for a month. Reads one file; needs no engine."""

from __future__ import annotations

from reconciler.decide.admit import grant_use
from reconciler.model.documents import Permissions
from reconciler.model.uses import Uses
from reconciler.record import summary
from reconciler.verbs import Answer


def unused(permissions: Permissions, uses: Uses, now: float) -> Answer:
    """The grants and binds of the agent config that nothing has used lately. `now`: seconds of the Unix epoch."""
    found = grant_use.unused(uses.entries, permissions, now)
    return (1 if found else 0), summary.policy_use(found, len(grant_use.entries(permissions)), grant_use.DAYS)
