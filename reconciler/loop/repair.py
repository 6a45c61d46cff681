"""Staying: last good is to run. A turn that finds it so has no effects."""

from __future__ import annotations

import re
from dataclasses import replace

from reconciler.decide.drift.corrections import is_ailing, without_files
from reconciler.decide.drift.restart_backoff import LEFT_ALONE, begin_anew
from reconciler.decide.plan import planner
from reconciler.errors import Interrupted, ReconcilerError, RolloutFailed, Transient
from reconciler.loop import unforeseen
from reconciler.loop.addresses import check_subnets
from reconciler.loop.collect import close
from reconciler.loop.compare import (
    find,
    inspected,
    is_as_applied,
    left_alone,
    note_not_started,
    note_started_again,
    note_tolerated,
)
from reconciler.loop.context import TurnContext
from reconciler.loop.ledger import Ending
from reconciler.loop.newer import give_way
from reconciler.loop.rollout import Rollout
from reconciler.loop.turn import Anew, Turn
from reconciler.model.desired import DesiredState
from reconciler.model.files import Commit
from reconciler.model.history import Attempt
from reconciler.model.observed import Container, ObservedState
from reconciler.model.outcome import Intent, Outcome, Reason
from reconciler.model.plan import Plan

CONSEQUENCES = re.compile(r"created|replaced|proves itself|restart policy \S+")
"""Causes of steps that say nothing about why a service had to be corrected."""


def keep(context: TurnContext, head: Commit) -> Turn:
    """See to it that last good runs, tidying up what an earlier turn left."""
    desired = context.good()
    if desired is None:
        raise AssertionError("only what was good is kept")
    rewritten = context.write_trees(desired)
    leftover = _leftover(context)
    if leftover is None:
        context.begins("look at the machine", "the engine")
        context.looked = context.look(desired)
        settled = planner.settled(desired, context.looked, context.ledger.history.ran_once)
        if settled and not rewritten and is_as_applied(context, desired, context.looked):
            return _unchanged(context, head, desired, context.looked)
    context.looked = None
    observed = context.inspect(desired)
    found = without_files(find(context, desired, observed), observed, rewritten)
    plan = context.plan(desired, observed, Intent.REPAIR, desired, corrections=found)
    if leftover is not None and len(plan.steps) == plan.closing:
        close(context, leftover, context.rollout(leftover, desired, desired, observed, plan))
        return _unchanged(context, head, desired, observed)
    if not plan.steps:
        return _unchanged(context, head, desired, observed)
    if plan.violations:
        raise Transient(plan.violations[0].reason, plan.violations[0].message, plan.violations[0].hint)
    check_subnets(context, plan, desired, observed)
    attempt = context.ledger.start(desired.revision, Intent.REPAIR)
    again = note_started_again(context, plan, observed, found)
    rollout = context.rollout(attempt, desired, desired, observed, plan)
    turn = _repair(context, head, attempt, plan, rollout)
    note_not_started(context, turn, again, rollout)
    if turn.outcome is Outcome.SUCCEEDED:
        note_tolerated(context, desired, observed, found)
    return turn


def clear(context: TurnContext) -> None:
    """Nothing was ever good: what attempts that were cut off have left goes; volumes stay."""
    leftover, last = _leftover(context), context.ledger.history.last
    if last is None or (leftover is None and not context.look().containers):
        return
    nothing, observed = context.nothing(), context.inspect(context.nothing())
    plan = context.plan(nothing, observed, Intent.REVERT, None)
    if leftover is not None and len(plan.steps) == plan.closing:
        close(context, leftover, context.rollout(leftover, nothing, None, observed, plan))
    elif plan.steps:
        attempt = context.ledger.start(last.revision, Intent.REVERT)
        _clear(context, attempt, context.rollout(attempt, nothing, None, observed, plan))


def let_run(context: TurnContext, failed: Attempt) -> None:
    """What runs since a rollback that failed is accepted: from now on the engine restarts it as its service asks.

    Once in each process; a container that does not run is left as it is.
    """
    if context.let_run == failed.id:
        return
    states = [context.ports.store.load(content) for content in (failed.content, _good_content(context)) if content]
    wanted = {(*key, s.spec): s.restart for state in states if state for key, s in state.services().items()}
    for item in inspected(context, context.look(*states)).containers:
        restart = wanted.get((item.stack, item.service, item.spec or ""), item.restart)
        if item.running and item.restart != restart:
            context.ports.applier.update(item.id, restart)
    context.let_run = failed.id


def _good_content(context: TurnContext) -> str | None:
    good = context.ledger.history.last_good
    return good.content if good else None


def _leftover(context: TurnContext) -> Attempt | None:
    """An attempt whose tidying up was cut off."""
    return next((item for item in context.ledger.history.attempts if not item.closed), None)


def _clear(context: TurnContext, attempt: Attempt, rollout: Rollout) -> None:
    failed = _walk(context, attempt, rollout)
    if failed is None:
        message = "nothing was good before: what a cut-off attempt had left was stopped; its volumes stay"
        ending = Ending(Outcome.ROLLED_BACK, Reason.ROLLED_BACK, message, services=rollout.records(), closing=True)
        context.ledger.end(ending, attempt.revision, attempt.intent, attempt.id)
        close(context, attempt, rollout)


def _walk(context: TurnContext, attempt: Attempt, rollout: Rollout) -> Turn | None:
    """Walk to the verdict; the turn that ended before it, where one did."""
    try:
        rollout.walk()
    except RolloutFailed as error:
        return context.fault(attempt, Transient(error.reason, error.message, error.hint), error.failure)
    except Transient as error:
        return context.fault(attempt, error)
    except Interrupted as error:
        context.interrupted(attempt, error)
        raise
    except Anew as again:
        give_way(context.ledger, attempt, again)
        raise
    except ReconcilerError:
        raise
    except Exception as error:
        unforeseen.note(context.ledger, "", error)
        return context.fault(attempt, unforeseen.fault(error))
    return None


def _repair(context: TurnContext, head: Commit, attempt: Attempt, plan: Plan, rollout: Rollout) -> Turn:
    failed = _walk(context, attempt, rollout)
    if failed is not None:
        return failed
    steps = [step for step in plan.steps if step.service and not CONSEQUENCES.fullmatch(step.cause)] or plan.steps
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
    return _applied(turn, head, attempt.revision)


def _unchanged(context: TurnContext, head: Commit, desired: DesiredState, observed: ObservedState) -> Turn:
    good = context.ledger.history.last_good
    revision = good.revision if good else desired.revision
    if head.sha == revision:
        for (stack, service), (container, again) in left_alone(context, observed).items():
            return _troubled(head, f"{stack}/{service}", container, again)
        turn = Turn(Outcome.UNCHANGED, Reason.RECONCILIATION_SUCCEEDED, "nothing to do", head.sha, Intent.REPAIR)
        graces = [desired.gate(item.stack).unhealthy_grace for item in observed.containers if is_ailing(item)]
        # The engine does not tell when a grace is over.
        return replace(turn, until=context.ports.clock.now() + min(graces)) if graces else turn
    bad = context.ledger.history.quarantined.get(head.sha)
    why = f" ({bad.reason})" if bad else ""
    return Turn(
        Outcome.UNCHANGED,
        Reason.REVISION_QUARANTINED,
        f"{head.sha[:12]} was refused{why}; {revision[:12] or 'what ran before it'} runs",
        head.sha,
        Intent.REPAIR,
        reverted_to=revision or None,
        hint="fix the commit and push again",
        applied=False,
    )


def _troubled(head: Commit, service: str, container: Container, again: float | None) -> Turn:
    """A service does not work, and for now it is not started again."""
    unhealthy = container.state == "running"
    state = "unhealthy" if unhealthy else f"down (exit code {container.exit_code})"
    then = "it is started again in a while" if again else LEFT_ALONE
    return Turn(
        Outcome.UNCHANGED,
        Reason.HEALTH_CHECK_FAILED if unhealthy else Reason.CRASHED,
        f"{service} is {state}; {then}",
        head.sha,
        Intent.REPAIR,
        hint=begin_anew(head.sha),
        until=again,
        applied=False,
    )


def _applied(turn: Turn, head: Commit, revision: str) -> Turn:
    return replace(turn, applied=head.sha == revision)
