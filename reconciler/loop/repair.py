"""Repair: corrects drift of last good, and removes the leftovers of an interrupted attempt."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from reconciler.decide.drift.corrections import Corrections, without_files
from reconciler.errors import Interrupted, ReconcilerError, RolloutFailed, Transient
from reconciler.loop import unforeseen
from reconciler.loop.addresses import check_subnets
from reconciler.loop.collect import close
from reconciler.loop.compare import find
from reconciler.loop.context import TurnContext
from reconciler.loop.judge import check_names, check_networks
from reconciler.loop.ledger import Ending, Ledger
from reconciler.loop.newer import give_way
from reconciler.loop.rolling import make_plan, make_rollout
from reconciler.loop.rollout import Rollout
from reconciler.loop.turn import Anew, Turn
from reconciler.model.desired import DesiredState, ServiceKey
from reconciler.model.files import Commit
from reconciler.model.history import Attempt
from reconciler.model.observed import ObservedState
from reconciler.model.outcome import Intent, Outcome, Reason
from reconciler.model.plan import Action, Change, Plan

CONSEQUENCES = re.compile(r"created|replaced(?: after a drain of \S+ s)?|proves itself|takes over|restart policy \S+")
"""Causes of steps that do not explain why a service had to be corrected."""

NOT_THEIR_FAULT = (Reason.DEPENDENCY_NOT_READY, Reason.ENGINE_UNAVAILABLE, Reason.POLICY_VIOLATION)
"""Reasons of a refused start that the service did not cause: another program on the machine, or a link in a mount's
path."""


def repair(
    context: TurnContext, head: Commit, desired: DesiredState, rewritten: frozenset[str]
) -> tuple[Turn | None, ObservedState]:
    """Bring the machine back to last good, `desired`. The turn is None if only cleanup was necessary.

    `rewritten`: digests of mounts that were missing on the disk.
    """
    leftover = context.ledger.leftover
    observed = context.machine.inspect(desired)
    found = without_files(find(context.ports, context.ledger, desired, observed), observed, rewritten)
    plan = make_plan(context, desired, observed, Intent.REPAIR, desired, corrections=found)
    if leftover is not None and len(plan.steps) == plan.closing:
        close(context, leftover, make_rollout(context, leftover, desired, desired, observed, plan))
        return None, observed
    if not plan.steps:
        return None, observed
    if plan.violations:
        raise Transient(plan.violations[0].reason, plan.violations[0].message, plan.violations[0].hint)
    check_networks(plan, desired, observed)
    check_names(plan, desired, observed)
    check_subnets(context, plan, desired, observed)
    attempt = context.ledger.start(desired.revision, Intent.REPAIR)
    again = _note_started_again(context.ledger, plan, observed, found)
    rollout = make_rollout(context, attempt, desired, desired, observed, plan)
    turn = _repair(context, head, attempt, plan, rollout)
    _note_not_started(context.ledger, turn, again, rollout)
    if turn.outcome is Outcome.SUCCEEDED:
        _note_tolerated(context, desired, observed, found)
    return turn, observed


def clear(context: TurnContext) -> None:
    """Without any last good: removes the leftovers of interrupted attempts; volumes stay."""
    leftover, last = context.ledger.leftover, context.ledger.history.last
    if last is None or (leftover is None and not context.machine.look().containers):
        return
    nothing, observed = context.states.nothing(), context.machine.inspect(context.states.nothing())
    plan = make_plan(context, nothing, observed, Intent.REVERT, None)
    if leftover is not None and len(plan.steps) == plan.closing:
        close(context, leftover, make_rollout(context, leftover, nothing, None, observed, plan))
    elif plan.steps:
        attempt = context.ledger.start(last.revision, Intent.REVERT)
        _clear(context, attempt, make_rollout(context, attempt, nothing, None, observed, plan))


def let_run(context: TurnContext, failed: Attempt) -> None:
    """The state after a failed rollback was accepted: set the restart policies of its running containers.

    Once in each process; stopped containers are not touched.
    """
    if context.let_run == failed.id:
        return
    states = [
        context.ports.store.load(content) for content in (failed.content, _good_content(context.ledger)) if content
    ]
    wanted = {(*key, s.spec): s.restart for state in states if state for key, s in state.services().items()}
    for item in context.machine.details(context.machine.look(*states)).containers:
        restart = wanted.get((item.stack, item.service, item.spec or ""), item.restart)
        if item.running and item.restart != restart:
            context.ports.applier.update(item.id, restart)
    context.let_run = failed.id


def _good_content(ledger: Ledger) -> str | None:
    good = ledger.history.last_good
    return good.content if good else None


def _clear(context: TurnContext, attempt: Attempt, rollout: Rollout) -> None:
    failed = _walk(context.ledger, attempt, rollout)
    if failed is None:
        message = "nothing was good before: what a cut-off attempt had left was stopped; its volumes stay"
        ending = Ending(Outcome.ROLLED_BACK, Reason.ROLLED_BACK, message, services=rollout.records(), closing=True)
        context.ledger.end(ending, attempt.revision, attempt.intent, attempt.id)
        close(context, attempt, rollout)


def _walk(ledger: Ledger, attempt: Attempt, rollout: Rollout) -> Turn | None:
    """Carry the plan out to the verdict; returns the turn if it ended before."""
    try:
        rollout.walk()
    except RolloutFailed as error:
        return ledger.fault(attempt, Transient(error.reason, error.message, error.hint), error.failure)
    except Transient as error:
        return ledger.fault(attempt, error)
    except Interrupted as error:
        ledger.interrupted(attempt, error)
        raise
    except Anew as again:
        give_way(ledger, attempt, again)
        raise
    except ReconcilerError:
        raise
    except Exception as error:
        unforeseen.note(ledger, "", error)
        return ledger.fault(attempt, unforeseen.fault(error))
    return None


def _repair(context: TurnContext, head: Commit, attempt: Attempt, plan: Plan, rollout: Rollout) -> Turn:
    failed = _walk(context.ledger, attempt, rollout)
    if failed is not None:
        return failed
    telling = [step for step in plan.steps if step.service or step.change is Change.LOST]
    steps = [step for step in telling if not CONSEQUENCES.fullmatch(step.cause)] or plan.steps
    corrected = dict.fromkeys(f"{step.stack}/{step.service or step.container}: {step.cause}" for step in steps)
    ending = Ending(
        Outcome.SUCCEEDED,
        Reason.DRIFT_CORRECTED,
        "corrected: " + "; ".join(corrected),
        services=rollout.records(),
        closing=True,
    )
    turn = context.ledger.end(ending, attempt.revision, Intent.REPAIR, attempt.id)
    close(context, attempt, rollout)
    return replace(turn, applied=head.sha == attempt.revision)


def _note_started_again(ledger: Ledger, plan: Plan, observed: ObservedState, found: Corrections) -> list[ServiceKey]:
    """Services whose containers this plan starts again; durable before it does, so that a crash counts them, too."""
    ended = {item.id for item in observed.containers if item.state == "exited"} | found.ailing.keys()
    steps = [step for step in plan.steps if step.action is Action.START_CONTAINER and step.id in ended]
    keys = list(dict.fromkeys((step.stack or "", step.service or "") for step in steps))
    for stack, service in keys:
        ledger.append("healed", stack=stack, service=service)
    return keys


def _note_not_started(ledger: Ledger, turn: Turn, services: Iterable[ServiceKey], rollout: Rollout) -> None:
    """A start that never happened is not a failure: for example, the agent waits for a missing disk."""
    if turn.outcome is Outcome.FAILED and turn.reason in NOT_THEIR_FAULT:
        for stack, service in services:
            if (stack, service) not in rollout.started:
                ledger.append("unstarted", stack=stack, service=service)


def _note_tolerated(context: TurnContext, desired: DesiredState, observed: ObservedState, found: Corrections) -> None:
    """A difference that remains after its correction comes from the engine, and is not corrected again."""
    corrected = _differences_told(observed, found)
    if corrected:
        after = context.machine.details(context.machine.look(desired))
        for spec, fact, words in sorted(
            corrected & _differences_told(after, find(context.ports, context.ledger, desired, after))
        ):
            context.ledger.append("tolerated", spec=spec, fact=fact, found=words)


def _differences_told(observed: ObservedState, found: Corrections) -> set[tuple[str, str, str]]:
    specs = {item.id: item.spec or "" for item in observed.containers}
    return {(specs[id], item.fact, item.found) for id, items in found.drift.items() for item in items}
