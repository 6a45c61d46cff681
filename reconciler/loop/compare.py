"""Comparing what runs with what was applied: at once where something may have changed, else now and then."""

from __future__ import annotations

from reconciler.decide.drift.corrections import Corrections, corrections, is_ailing
from reconciler.decide.drift.restart_backoff import next_start, recovered
from reconciler.loop.context import TurnContext
from reconciler.model.desired import DesiredState, ServiceKey
from reconciler.model.observed import Container, ObservedState

SLOW = 600.0
"""Seconds after which is compared without any reason."""


def is_as_applied(context: TurnContext, desired: DesiredState, looked: ObservedState) -> bool:
    """Whether the containers, settled by a sparse look, are still as they were made. One call for each, if any."""
    now = context.ports.clock.monotonic()
    told = context.ports.changed()
    sight = (desired.content, looked.containers)
    if not told and context.compared is not None and context.compared[1] == sight and now - context.compared[0] < SLOW:
        return True
    context.compared = None
    detailed = context.machine.details(looked)
    if find(context, desired, detailed).needed:
        return False
    if not any(is_ailing(item) for item in detailed.containers):
        context.compared = (now, sight)
    return True


def find(context: TurnContext, desired: DesiredState, observed: ObservedState) -> Corrections:
    """What is wrong with containers that are as wanted by their spec; what works again is noted."""
    _note_recovered(context, observed)
    return _wrong(context, desired, observed)


def _wrong(context: TurnContext, desired: DesiredState, observed: ObservedState) -> Corrections:
    known = context.ports.store.current(desired.content)
    return corrections(desired, observed, context.ledger.history, context.ports.clock.now(), secrets_known=known)


def changed_by_others(context: TurnContext, desired: DesiredState, observed: ObservedState) -> Corrections:
    """What can be corrected in place of what somebody has done to containers that a commit, or the rollback, keeps.

    What would need another container is no matter of the commit: the next turn sees to it. Nothing is recorded: the
    rollback must not depend on room on the disk.
    """
    found = _wrong(context, desired, observed)
    return Corrections({id: items for id, items in found.drift.items() if id not in found.replaced})


def left_alone(context: TurnContext, observed: ObservedState) -> dict[ServiceKey, tuple[Container, float | None]]:
    """Services that do not work and are not started again now → one container, and when it is tried again, if ever."""
    now = context.ports.clock.now()
    found = {}
    for item in observed.containers:
        again = next_start(context.ledger.history.backoffs.get((item.stack, item.service)), now)
        waits = again is None or again > now
        if waits and (item.state == "exited" or is_ailing(item)):
            found[(item.stack, item.service)] = (item, again)
    return found


def _note_recovered(context: TurnContext, observed: ObservedState) -> None:
    for (stack, service), backoff in context.ledger.history.backoffs.items():
        own = observed.of(stack, service)
        good = own and all(item.state == "running" and item.health in ("none", "healthy") for item in own)
        if good and recovered(backoff, context.ports.clock.now()):
            context.ledger.append("recovered", stack=stack, service=service)
