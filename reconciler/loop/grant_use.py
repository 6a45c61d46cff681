"""Records which entries of the agent config last good needs, for `policy unused`."""

from __future__ import annotations

from collections.abc import Collection

from reconciler.decide.mounts.digests import digest
from reconciler.errors import ReconcilerError
from reconciler.loop.context import TurnContext
from reconciler.model.documents import BindGrant, Grant
from reconciler.model.uses import Uses


def note_use(context: TurnContext) -> None:
    """Nothing is read or written while last good is the same as in the turn before.

    It never changes a turn's outcome; after a failure the next process tries again.
    """
    good = context.ledger.history.last_good
    basis = (good.revision, good.content) if good else ("", "")
    if context.use_noted == basis:
        return
    context.use_noted = basis
    permissions = context.ports.preparer.permissions
    known = context.ports.uses.load()
    now = digest([repr(permissions), *basis])
    if known.basis == now or not (known.entries or permissions.grants or permissions.binds):
        return
    from reconciler.decide.admit.grant_use import noted

    used = _used(context, basis[0])
    found = noted(known.entries, permissions, used, context.ports.clock.now())
    context.ports.uses.save(Uses("" if used is None else now, found))


def _used(context: TurnContext, revision: str) -> Collection[Grant | BindGrant] | None:
    """The entries that the turn itself has found; last good is judged once more if this process has not done so."""
    if not revision:
        return ()
    if context.states.judged is not None and context.states.judged[0] == revision:
        return context.states.judged[1]
    try:
        return context.states.prepare(revision, vouched=True).used
    except ReconcilerError:
        return None
