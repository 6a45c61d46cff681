"""Comparing what runs with what was applied: at once where something may have changed, else now and then."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from reconciler.decide.drift.adoption import overlay
from reconciler.decide.drift.corrections import Mending, is_ailing, mending
from reconciler.decide.drift.restart_backoff import next_start, recovered
from reconciler.loop.context import Bench
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


def is_as_applied(bench: Bench, desired: DesiredState, looked: ObservedState) -> bool:
    """Whether the containers, settled by a sparse look, are still as they were made. One call for each, if any."""
    now = bench.ports.clock.monotonic()
    told = bench.ports.changed()
    sight = (desired.content, looked.containers)
    if not told and bench.compared is not None and bench.compared[1] == sight and now - bench.compared[0] < SLOW:
        return True
    bench.compared = None
    detailed = inspected(bench, looked)
    if find(bench, desired, detailed).needed:
        return False
    if not any(is_ailing(item) for item in detailed.containers):
        bench.compared = (now, sight)
    return True


def inspected(bench: Bench, looked: ObservedState) -> ObservedState:
    """The same containers in full."""
    details = bench.ports.observer.details([item.id for item in looked.containers])
    images = bench.ports.observer.defaults(item.image for item in details.values())
    detailed = replace(looked, containers=tuple(details.values()), images=images)
    return overlay(detailed, bench.book.history.adopted, bench.options.host)


def find(bench: Bench, desired: DesiredState, observed: ObservedState) -> Mending:
    """What is wrong with containers that are as wanted by their spec; what works again is noted."""
    _note_recovered(bench, observed)
    return _wrong(bench, desired, observed)


def _wrong(bench: Bench, desired: DesiredState, observed: ObservedState) -> Mending:
    known = bench.ports.store.current(desired.content)
    return mending(desired, observed, bench.book.history, bench.ports.clock.now(), secrets_known=known)


def changed_by_others(bench: Bench, desired: DesiredState, observed: ObservedState) -> Mending:
    """What can be mended in place of what somebody has done to containers that a commit, or the way back, leaves there.

    What would need another container is no matter of the commit: the next turn sees to it. Nothing is recorded: the way
    back must not depend on room on the disk.
    """
    found = _wrong(bench, desired, observed)
    return Mending({id: items for id, items in found.drift.items() if id not in found.replaced})


def note_started_again(bench: Bench, plan: Plan, observed: ObservedState, found: Mending) -> list[ServiceKey]:
    """Services whose containers this plan starts again; durable before it does, so that a crash counts them, too."""
    ended = {item.id for item in observed.containers if item.state == "exited"} | found.ailing.keys()
    steps = [step for step in plan.steps if step.action is Action.START_CONTAINER and step.id in ended]
    keys = list(dict.fromkeys((step.stack or "", step.service or "") for step in steps))
    for stack, service in keys:
        bench.book.append("healed", stack=stack, service=service)
    return keys


def note_not_started(bench: Bench, turn: Turn, services: Iterable[ServiceKey], rollout: Rollout) -> None:
    """A disk that is away for a day is waited for that long: what was never started has not failed."""
    if turn.outcome is Outcome.FAILED and turn.reason in NOT_THEIR_FAULT:
        for stack, service in services:
            if (stack, service) not in rollout.started:
                bench.book.append("unstarted", stack=stack, service=service)


def note_tolerated(bench: Bench, desired: DesiredState, observed: ObservedState, found: Mending) -> None:
    """A difference that outlives its own repair is how this engine makes containers: it is not mended for ever."""
    mended = _told(observed, found)
    if mended:
        after = inspected(bench, bench.look(desired))
        for spec, fact, words in sorted(mended & _told(after, find(bench, desired, after))):
            bench.book.append("tolerated", spec=spec, fact=fact, found=words)


def _told(observed: ObservedState, found: Mending) -> set[tuple[str, str, str]]:
    specs = {item.id: item.spec or "" for item in observed.containers}
    return {(specs[id], item.fact, item.found) for id, items in found.drift.items() for item in items}


def left_alone(bench: Bench, observed: ObservedState) -> dict[ServiceKey, tuple[Container, float | None]]:
    """Services that do not work and are not started again now → one container, and when it is tried again, if ever."""
    now = bench.ports.clock.now()
    found = {}
    for item in observed.containers:
        again = next_start(bench.book.history.cares.get((item.stack, item.service)), now)
        waits = again is None or again > now
        if waits and (item.state == "exited" or is_ailing(item)):
            found[(item.stack, item.service)] = (item, again)
    return found


def _note_recovered(bench: Bench, observed: ObservedState) -> None:
    for (stack, service), care in bench.book.history.cares.items():
        own = observed.of(stack, service)
        good = own and all(item.state == "running" and item.health in ("none", "healthy") for item in own)
        if good and recovered(care, bench.ports.clock.now()):
            bench.book.append("recovered", stack=stack, service=service)
