"""Keeps last good running. A turn without drift has no effects."""

from __future__ import annotations

from dataclasses import replace

from reconciler.decide.drift.corrections import is_ailing
from reconciler.decide.drift.restart_backoff import LEFT_ALONE, begin_anew
from reconciler.decide.slots import settled
from reconciler.loop.compare import is_as_applied, left_alone
from reconciler.loop.context import TurnContext
from reconciler.loop.ledger import Ledger
from reconciler.loop.options import Ports
from reconciler.loop.turn import Turn
from reconciler.model.desired import DesiredState
from reconciler.model.files import Commit
from reconciler.model.observed import Container, ObservedState
from reconciler.model.outcome import Intent, Outcome, Reason


def keep(context: TurnContext, head: Commit) -> Turn:
    """Correct drift of last good, and clean up after an earlier turn."""
    desired = context.states.good()
    if desired is None:
        raise AssertionError("only what was good is kept")
    rewritten = context.states.write_trees(desired)
    if not context.ledger.leftover:
        context.watchdog.begins("look at the machine", "the engine")
        context.looked = looked = context.machine.look(desired)
        if _is_settled(context, desired, looked) and not rewritten and is_as_applied(context, desired, looked):
            return _unchanged(context.ports, context.ledger, head, desired, looked)
    context.looked = None
    from reconciler.loop.repair import repair  # imported here because a turn without changes does not need it

    turn, observed = repair(context, head, desired, rewritten)
    return turn or _unchanged(context.ports, context.ledger, head, desired, observed)


def _is_settled(context: TurnContext, desired: DesiredState, looked: ObservedState) -> bool:
    """Judged once for the same observed state."""
    asked = desired.content, context.ledger.history.ran_once
    last = context.settled
    if last is None or last[0] is not looked or last[1] != asked:
        context.settled = looked, asked
        if not settled(desired, looked, context.ledger.history.ran_once):
            context.settled = None
    return context.settled is not None


def _unchanged(ports: Ports, ledger: Ledger, head: Commit, desired: DesiredState, observed: ObservedState) -> Turn:
    good = ledger.history.last_good
    revision = good.revision if good else desired.revision
    if head.sha == revision:
        for (stack, service), (container, again) in left_alone(ports, ledger, observed).items():
            return _troubled(head, f"{stack}/{service}", container, again)
        turn = Turn(Outcome.UNCHANGED, Reason.RECONCILIATION_SUCCEEDED, "nothing to do", head.sha, Intent.REPAIR)
        graces = [desired.gate(item.stack).unhealthy_grace for item in observed.containers if is_ailing(item)]
        # No event of the engine marks the end of a grace period.
        return replace(turn, until=ports.clock.now() + min(graces)) if graces else turn
    bad = ledger.history.quarantined.get(head.sha)
    why = f" ({bad.reason})" if bad else ""
    return Turn(
        Outcome.UNCHANGED,
        Reason.REVISION_QUARANTINED,
        f"{head.sha[:12]} was refused{why}; {revision[:12] or 'the state before it'} runs",
        head.sha,
        Intent.REPAIR,
        reverted_to=revision or None,
        hint="fix the commit and push again",
        applied=False,
    )


def _troubled(head: Commit, service: str, container: Container, again: float | None) -> Turn:
    """The outcome if a service is down and is not started again for now."""
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
