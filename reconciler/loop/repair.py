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
from reconciler.loop.context import Bench
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
"""Causes of steps that say nothing about why a service had to be mended."""


def keep(bench: Bench, head: Commit) -> Turn:
    """See to it that last good runs, tidying up what an earlier turn left."""
    desired = bench.good()
    if desired is None:
        raise AssertionError("only what was good is kept")
    rewritten = bench.write_trees(desired)
    leftover = _leftover(bench)
    if leftover is None:
        bench.begins("look at the machine", "the engine")
        bench.looked = bench.look(desired)
        settled = planner.settled(desired, bench.looked, bench.book.history.ran_once)
        if settled and not rewritten and is_as_applied(bench, desired, bench.looked):
            return _unchanged(bench, head, desired, bench.looked)
    bench.looked = None
    observed = bench.inspect(desired)
    found = without_files(find(bench, desired, observed), observed, rewritten)
    plan = bench.plan(desired, observed, Intent.REPAIR, desired, mending=found)
    if leftover is not None and len(plan.steps) == plan.closing:
        close(bench, leftover, bench.rollout(leftover, desired, desired, observed, plan))
        return _unchanged(bench, head, desired, observed)
    if not plan.steps:
        return _unchanged(bench, head, desired, observed)
    if plan.violations:
        raise Transient(plan.violations[0].reason, plan.violations[0].message, plan.violations[0].hint)
    check_subnets(bench, plan, desired, observed)
    attempt = bench.book.start(desired.revision, Intent.REPAIR)
    again = note_started_again(bench, plan, observed, found)
    rollout = bench.rollout(attempt, desired, desired, observed, plan)
    turn = _repair(bench, head, attempt, plan, rollout)
    note_not_started(bench, turn, again, rollout)
    if turn.outcome is Outcome.SUCCEEDED:
        note_tolerated(bench, desired, observed, found)
    return turn


def clear(bench: Bench) -> None:
    """Nothing was ever good: what attempts that were cut off have left goes; volumes stay."""
    leftover, last = _leftover(bench), bench.book.history.last
    if last is None or (leftover is None and not bench.look().containers):
        return
    nothing, observed = bench.nothing(), bench.inspect(bench.nothing())
    plan = bench.plan(nothing, observed, Intent.REVERT, None)
    if leftover is not None and len(plan.steps) == plan.closing:
        close(bench, leftover, bench.rollout(leftover, nothing, None, observed, plan))
    elif plan.steps:
        attempt = bench.book.start(last.revision, Intent.REVERT)
        _clear(bench, attempt, bench.rollout(attempt, nothing, None, observed, plan))


def let_run(bench: Bench, failed: Attempt) -> None:
    """What runs since a way back that failed is accepted: from now on the engine restarts it as its service asks.

    Once in each process; a container that does not run is left as it is.
    """
    if bench.let_run == failed.id:
        return
    states = [bench.ports.store.load(content) for content in (failed.content, _good_content(bench)) if content]
    wanted = {(*key, s.spec): s.restart for state in states if state for key, s in state.services().items()}
    for item in inspected(bench, bench.look(*states)).containers:
        restart = wanted.get((item.stack, item.service, item.spec or ""), item.restart)
        if item.running and item.restart != restart:
            bench.ports.applier.update(item.id, restart)
    bench.let_run = failed.id


def _good_content(bench: Bench) -> str | None:
    good = bench.book.history.last_good
    return good.content if good else None


def _leftover(bench: Bench) -> Attempt | None:
    """An attempt whose tidying up was cut off."""
    return next((item for item in bench.book.history.attempts if not item.closed), None)


def _clear(bench: Bench, attempt: Attempt, rollout: Rollout) -> None:
    failed = _walk(bench, attempt, rollout)
    if failed is None:
        message = "nothing was good before: what a cut-off attempt had left was stopped; its volumes stay"
        ending = Ending(Outcome.ROLLED_BACK, Reason.ROLLED_BACK, message, services=rollout.records(), closing=True)
        bench.book.end(ending, attempt.revision, attempt.intent, attempt.id)
        close(bench, attempt, rollout)


def _walk(bench: Bench, attempt: Attempt, rollout: Rollout) -> Turn | None:
    """Walk to the verdict; the turn that ended before it, where one did."""
    try:
        rollout.walk()
    except RolloutFailed as error:
        return bench.fault(attempt, Transient(error.reason, error.message, error.hint), error.failure)
    except Transient as error:
        return bench.fault(attempt, error)
    except Interrupted as error:
        bench.interrupted(attempt, error)
        raise
    except Anew as again:
        give_way(bench.book, attempt, again)
        raise
    except ReconcilerError:
        raise
    except Exception as error:
        unforeseen.note(bench.book, "", error)
        return bench.fault(attempt, unforeseen.fault(error))
    return None


def _repair(bench: Bench, head: Commit, attempt: Attempt, plan: Plan, rollout: Rollout) -> Turn:
    failed = _walk(bench, attempt, rollout)
    if failed is not None:
        return failed
    steps = [step for step in plan.steps if step.service and not CONSEQUENCES.fullmatch(step.cause)] or plan.steps
    mended = dict.fromkeys(f"{step.stack}/{step.service or step.container}: {step.cause}" for step in steps)
    ending = Ending(
        Outcome.SUCCEEDED,
        Reason.DRIFT_CORRECTED,
        "mended: " + "; ".join(mended),
        services=rollout.records(),
        closing=True,
    )
    turn = bench.book.end(ending, attempt.revision, Intent.REPAIR, attempt.id)
    close(bench, attempt, rollout)
    return _applied(turn, head, attempt.revision)


def _unchanged(bench: Bench, head: Commit, desired: DesiredState, observed: ObservedState) -> Turn:
    good = bench.book.history.last_good
    revision = good.revision if good else desired.revision
    if head.sha == revision:
        for (stack, service), (container, again) in left_alone(bench, observed).items():
            return _troubled(head, f"{stack}/{service}", container, again)
        turn = Turn(Outcome.UNCHANGED, Reason.RECONCILIATION_SUCCEEDED, "nothing to do", head.sha, Intent.REPAIR)
        graces = [desired.gate(item.stack).unhealthy_grace for item in observed.containers if is_ailing(item)]
        # The engine does not tell when a grace is over.
        return replace(turn, until=bench.ports.clock.now() + min(graces)) if graces else turn
    bad = bench.book.history.quarantined.get(head.sha)
    why = f" ({bad.reason})" if bad else ""
    return Turn(
        Outcome.UNCHANGED,
        Reason.REVISION_QUARANTINED,
        f"{head.sha[:12]} was refused{why}; {revision[:12] or 'what ran before it'} runs",
        head.sha,
        Intent.REPAIR,
        reverted_to=revision or None,
        hint="mend the commit and push again",
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
