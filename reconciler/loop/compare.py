"""Comparing what runs with what was applied: at once where something may have changed, else now and then."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from reconciler.decide.drift.adoption import overlay
from reconciler.decide.drift.corrections import Corrections, corrections, is_ailing
from reconciler.decide.drift.restart_backoff import next_start, recovered
from reconciler.loop.context import TurnContext
from reconciler.loop.rollout import Rollout
from reconciler.loop.turn import Turn
from reconciler.model.desired import DesiredState, ServiceKey
from reconciler.model.observed import Container, ObservedState
from reconciler.model.outcome import Outcome, Reason
from reconciler.model.plan import Action, Plan

NOT_THEIR_FAULT = (Reason.DEPENDENCY_NOT_READY, Reason.ENGINE_UNAVAILABLE, Reason.POLICY_VIOLATION)
"""Of a start that was refused: for something else on the machine, or for a link in the way of a mount."""

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
    detailed = inspected(context, looked)
    if find(context, desired, detailed).needed:
        return False
    if not any(is_ailing(item) for item in detailed.containers):
        context.compared = (now, sight)
    return True


def inspected(context: TurnContext, looked: ObservedState) -> ObservedState:
    """The same containers in full."""
    details = context.ports.observer.details([item.id for item in looked.containers])
    images = context.ports.observer.defaults(item.image for item in details.values())
    detailed = replace(looked, containers=tuple(details.values()), images=images)
    return overlay(detailed, context.ledger.history.adopted, context.options.host)


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


def note_started_again(
    context: TurnContext, plan: Plan, observed: ObservedState, found: Corrections
) -> list[ServiceKey]:
    """Services whose containers this plan starts again; durable before it does, so that a crash counts them, too."""
    ended = {item.id for item in observed.containers if item.state == "exited"} | found.ailing.keys()
    steps = [step for step in plan.steps if step.action is Action.START_CONTAINER and step.id in ended]
    keys = list(dict.fromkeys((step.stack or "", step.service or "") for step in steps))
    for stack, service in keys:
        context.ledger.append("healed", stack=stack, service=service)
    return keys


def note_not_started(context: TurnContext, turn: Turn, services: Iterable[ServiceKey], rollout: Rollout) -> None:
    """A disk that is away for a day is waited for that long: what was never started has not failed."""
    if turn.outcome is Outcome.FAILED and turn.reason in NOT_THEIR_FAULT:
        for stack, service in services:
            if (stack, service) not in rollout.started:
                context.ledger.append("unstarted", stack=stack, service=service)


def note_tolerated(context: TurnContext, desired: DesiredState, observed: ObservedState, found: Corrections) -> None:
    """A difference that outlives its own repair is how this engine makes containers: it is not corrected for ever."""
    corrected = _told(observed, found)
    if corrected:
        after = inspected(context, context.look(desired))
        for spec, fact, words in sorted(corrected & _told(after, find(context, desired, after))):
            context.ledger.append("tolerated", spec=spec, fact=fact, found=words)


def _told(observed: ObservedState, found: Corrections) -> set[tuple[str, str, str]]:
    specs = {item.id: item.spec or "" for item in observed.containers}
    return {(specs[id], item.fact, item.found) for id, items in found.drift.items() for item in items}


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
