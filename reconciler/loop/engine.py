"""Holds commits whose limits the engine would not enforce, and records what the engine is and can do."""

from __future__ import annotations

from reconciler.decide.hold.limits import remedy, unenforced
from reconciler.loop.context import TurnContext
from reconciler.loop.turn import Ended, Turn
from reconciler.model.desired import DesiredState
from reconciler.model.engine import Engine, record_of
from reconciler.model.files import Commit
from reconciler.model.outcome import Intent, Outcome, Reason


def check_limits(context: TurnContext, head: Commit, desired: DesiredState, engine: Engine | None) -> None:
    """Held until limits are enforced, or the operator says that they need not be."""
    message = None if context.options.advisory else unenforced(desired, engine)
    if message is None or engine is None:
        return
    hint = f"{remedy(engine)}; or write `budget: advisory` in the agent config: then limits are only a plan"
    message = f"{head.sha[:12]} is held: {message}"
    raise Ended(Turn(Outcome.HELD, Reason.LIMITS_NOT_ENFORCED, message, head.sha, Intent.ADVANCE, hint=hint))


def note_engine(context: TurnContext, turn: Turn) -> None:
    """Record the engine's abilities if they have changed: once in a process, after the engine was away, and after work,
    when a container may show more of them."""
    if turn.reason is Reason.ENGINE_UNAVAILABLE:
        context.engine_noted = False
        return
    worked = turn.attempt is not None
    if context.ports.abilities is None or (context.engine_noted and not worked):
        return
    known = context.ledger.history.engine
    found = context.ports.abilities(known, worked)
    if found.differs(known):
        context.ledger.append("engine", **record_of(found))
        context.compared = None  # what counts as drift depends on it
    context.engine_noted = True
