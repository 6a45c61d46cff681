"""Rollback: after a failed commit the state before it runs again, judged by the same rules."""

from __future__ import annotations

from dataclasses import replace

from reconciler.decide.history.fold_state import failure_record
from reconciler.errors import ReconcilerError, RolloutFailed, Transient
from reconciler.loop.collect import close
from reconciler.loop.compare import changed_by_others
from reconciler.loop.context import TurnContext
from reconciler.loop.judge import check_networks
from reconciler.loop.ledger import Ending, Ledger
from reconciler.loop.options import Ports
from reconciler.loop.rolling import make_plan, make_rollout
from reconciler.loop.rollout import Rollout
from reconciler.loop.turn import Superseded, Turn
from reconciler.model.desired import DesiredState
from reconciler.model.files import Commit
from reconciler.model.history import Attempt, ServiceRecord
from reconciler.model.outcome import CommitState, Failure, Intent, Outcome, Reason


def go_back(
    context: TurnContext, attempt: Attempt, failure: Failure, bad: DesiredState, forward: Rollout, *, quarantined: bool
) -> Turn:
    """The verdict is durable before the rollback begins: a bad commit is never tried twice.

    `quarantined` False: the environment failed it (a port was taken meanwhile). The machine goes back all the same,
    and the commit is tried again.
    """
    if not quarantined:
        return roll_back(context, replace(attempt, failure=failure, content=bad.content), forward, quarantined=False)
    # A full disk must not keep the service down: the rollback needs no space for the verdict, and nothing new begins
    # until the verdict is written.
    context.ledger.owe(
        "condemned",
        attempt=attempt.id,
        revision=attempt.revision,
        content=bad.content,
        failure=failure_record(failure),
        touched=forward.touched,
    )
    context.states.pin_bad(attempt.revision, bad.content)
    attempt = replace(attempt, quarantined=True, failure=failure, content=bad.content, touched=forward.touched)
    return roll_back(context, attempt, forward)


def roll_back(
    context: TurnContext, attempt: Attempt, forward: Rollout | None = None, *, quarantined: bool = True
) -> Turn:
    """Undo a quarantined attempt, from any point. `forward` is None if another process began it."""
    target = context.states.good() or context.states.nothing()
    bad = context.ports.store.load(attempt.content) if attempt.content else None
    context.states.write_trees(target)
    observed = context.machine.inspect(target, bad)
    plan = make_plan(
        context,
        target,
        observed,
        Intent.REVERT,
        bad,
        corrections=changed_by_others(context.ports, context.ledger, target, observed),
    )
    down = forward.hand_over() if forward else {}
    rollout = make_rollout(context, attempt, target, bad, observed, plan, down)
    failure = attempt.failure or Failure(Reason.STALLED, "it failed")
    try:
        check_networks(plan, target, observed)
    except Transient as error:
        raise _blocked(error) from error
    # No memory check: these containers ran a moment ago, and holding them back would cause an outage.
    try:
        rollout.walk()
    except RolloutFailed as error:
        if not quarantined or error.reason is Reason.DEPENDENCY_NOT_READY:
            raise _blocked(error) from error
        return _stall(context.ledger, attempt, failure, error.failure)
    except Superseded as newer:
        if quarantined:
            _cut_short(context.ledger, attempt, failure, newer.head, _merged(rollout, forward))
        raise
    if not quarantined:
        turn = context.ledger.fault(
            attempt, Transient(failure.reason, failure.message, "it is tried again by itself"), failure
        )
        close(context, attempt, rollout)
        return turn
    return _reverted(context, attempt, failure, target, rollout, forward)


def _blocked(error: ReconcilerError) -> Transient:
    """It is tried again. What the failed commit has started, and what does not fail, runs until then."""
    return Transient(error.reason, f"the rollback is blocked: {error.message}", error.hint)


def _reverted(
    context: TurnContext,
    attempt: Attempt,
    failure: Failure,
    target: DesiredState,
    rollout: Rollout,
    forward: Rollout | None,
) -> Turn:
    back_to = target.revision or None
    where = f"back at {back_to[:12]}" if back_to else _without_revision(target)
    before = _ran_once(context.ports, context.ledger, attempt, target)
    ending = _ending(attempt, failure, f"{before}{failure.message}; {where}", _merged(rollout, forward))
    ending = replace(ending, reverted_to=back_to, hint="fix the commit and push again; this one is not tried again")
    turn = context.ledger.end(ending, attempt.revision, Intent.ADVANCE, attempt.id)
    close(context, attempt, rollout)
    return turn


def _cut_short(
    ledger: Ledger, attempt: Attempt, failure: Failure, head: Commit, services: tuple[ServiceRecord, ...]
) -> None:
    """A newer commit supersedes the rollback. The verdict on this commit stays."""
    message = f"{failure.message}; during the rollback {head.sha[:12]} took over"
    ledger.end(_ending(attempt, failure, message, services), attempt.revision, Intent.ADVANCE, attempt.id)


def _ending(attempt: Attempt, failure: Failure, message: str, services: tuple[ServiceRecord, ...]) -> Ending:
    """The end of a quarantined attempt; cleanup remains."""
    return Ending(
        Outcome.ROLLED_BACK if attempt.touched else Outcome.REJECTED,
        failure.reason,
        message,
        CommitState.FAILURE,
        attempt.content,
        failure=failure,
        services=services,
        closing=True,
    )


def _without_revision(target: DesiredState) -> str:
    if target.stacks:
        return "what ran before it runs again"
    return "nothing ran before, so it was stopped; its volumes stay"


def _stall(ledger: Ledger, attempt: Attempt, failure: Failure, second: Failure) -> Turn:
    """A failed rollback is never rolled back: running containers stay."""
    ending = Ending(
        Outcome.ROLLBACK_FAILED,
        Reason.ROLLBACK_FAILED,
        f"{failure.message}; and during the rollback: {second.message}",
        CommitState.FAILURE,
        attempt.content,
        failure=second,
        hint="what runs is left running; look at it, then push a new commit",
    )
    return ledger.end(ending, attempt.revision, Intent.ADVANCE, attempt.id)


def _ran_once(ports: Ports, ledger: Ledger, attempt: Attempt, target: DesiredState) -> str:
    """One-shots of the bad commit that did run. Their effects are not undone, so the message names them first."""
    bad = ports.store.load(attempt.content) if attempt.content else None
    kept = {service.spec for service in target.services().values()}
    ran = [
        f"one-shot {service.stack}/{service.name} already ran; "
        for service in (bad.services().values() if bad else ())
        if service.spec in ledger.history.ran_once - kept
    ]
    return "".join(ran)


def _merged(rollout: Rollout, forward: Rollout | None) -> tuple[ServiceRecord, ...]:
    """The service records of the rollback, and those of the rollout for services that the rollback did not touch."""
    there = {(item.stack, item.service): item for item in (forward.records() if forward else ())}
    back = {(item.stack, item.service): item for item in rollout.records()}
    merged = []
    for key in dict.fromkeys([*back, *there]):
        pair = [item for item in (back.get(key), there.get(key)) if item is not None]
        told = next((item for item in pair if item.action != "Unchanged"), pair[0])
        merged.append(ServiceRecord(*key, told.action, round(sum(item.downtime for item in pair), 3)))
    return tuple(merged)
