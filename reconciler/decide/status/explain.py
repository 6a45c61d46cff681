"""The one reason and message that explain the host's status."""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.decide.drift.restart_backoff import LEFT_ALONE, begin_anew
from reconciler.decide.status.revisions import attempt_at, head_is_applied
from reconciler.model.outcome import Reason
from reconciler.model.status import Health, Holding, StackStatus, StatusFacts, Sync

Explanation = tuple[Reason | None, str, float | None]
"""Reason, sentence, and time since when (seconds of the Unix epoch)."""


def explain(facts: StatusFacts, health: Health, stacks: Sequence[StackStatus]) -> Explanation:
    """The most urgent condition first: blocked, held, rolling out, unknown, bad, stale; else good."""
    if facts.silence is not None and facts.silence.blocked:
        return facts.silence.reason, facts.silence.message, facts.silence.since
    if facts.suspension is not None and facts.rollout is None:
        return Reason.SUSPENDED, f"{facts.suspension.why}; `reconciler resume` ends it", facts.suspension.since
    if facts.rollout is not None:
        return None, _under_way(facts), facts.rollout.since
    if facts.holding is not None and not _answers_again(facts, facts.holding):
        holding = facts.holding
        return holding.reason, told(holding.message, holding.hint), holding.since
    if facts.engine_error is not None:
        return Reason.ENGINE_UNAVAILABLE, facts.engine_error, None
    return (
        _explain_head(facts)
        or _explain_services(facts, health, stacks)
        or _explain_fetch(facts)
        or _explain_success(facts)
    )


def active(stacks: Sequence[StackStatus]) -> list[StackStatus]:
    """A stack that the commit itself suspends does not count, unless there is no other."""
    return [stack for stack in stacks if stack.health is not Health.SUSPENDED] or list(stacks)


def _explain_head(facts: StatusFacts) -> Explanation | None:
    head = facts.source.head
    if head is None:
        message = f"branch {facts.source.branch} has not been fetched yet"
        return _explain_fetch(facts) or (None, message, None)
    if head_is_applied(facts):
        return None
    attempt = attempt_at(facts, head)
    if attempt is not None and not attempt.open:
        return attempt.reason, attempt.message, attempt.ended_at
    bad = facts.history.quarantined.get(head)
    if bad is not None:
        return bad.reason, f"{head[:7]} was refused and is not tried again", bad.at
    held = facts.history.holding(head)
    if held:
        return held[-1].reason, told(held[-1].message, held[-1].hint), held[-1].since
    return None, f"{head[:7]} is waiting for its turn", None


def told(message: str, hint: str) -> str:
    """The fault and the remedy, in one sentence."""
    return "; ".join(part for part in (message, hint) if part)


def _answers_again(facts: StatusFacts, holding: Holding) -> bool:
    """Whether the present observation shows that the fault is over."""
    return holding.reason is Reason.ENGINE_UNAVAILABLE and facts.observed is not None


def _explain_services(facts: StatusFacts, health: Health, stacks: Sequence[StackStatus]) -> Explanation | None:
    rows = [row for stack in active(stacks) for row in stack.services]
    if facts.observed is None:
        return None, "the engine was not asked", None
    row = next((row for row in rows if row.health is health and row.health is not Health.HEALTHY), None)
    if row is not None:
        backoff = facts.history.backoffs.get((row.stack, row.service))
        good = facts.history.last_good.revision if facts.history.last_good else ""
        given_up = f"; {LEFT_ALONE}; {begin_anew(good)}" if backoff is not None and backoff.given_up else ""
        return row.reason, f"{row.stack}/{row.service} is {row.health.value}{given_up}", row.since
    row = next((row for row in rows if row.sync is Sync.OUT_OF_SYNC), None)
    if row is not None:
        return None, f"{row.stack}/{row.service} differs from commit {(facts.source.head or '')[:7]}", None
    return None


def _explain_fetch(facts: StatusFacts) -> Explanation | None:
    if facts.source.error is None:
        return None
    return Reason.FETCH_FAILED, facts.source.error, facts.source.last_fetch_at


def _explain_success(facts: StatusFacts) -> Explanation:
    if facts.desired is None:
        return None, "what was applied cannot be read", None
    good = facts.history.last_good
    return Reason.RECONCILIATION_SUCCEEDED, "", good.at if good else None


def _under_way(facts: StatusFacts) -> str:
    rollout = facts.rollout
    if rollout is None:
        return ""
    where = "/".join(part for part in (rollout.stack, rollout.service) if part)
    doing = f": {rollout.action.value} {where}".rstrip() if rollout.action else ""
    return f"{rollout.intent.value} to {rollout.revision[:7]}, step {rollout.step} of {rollout.steps}{doing}"
