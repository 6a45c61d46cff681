"""The tried commit and the applied commit, from the history."""

from __future__ import annotations

from reconciler.model.history import Attempt
from reconciler.model.outcome import Intent, Outcome, Violation
from reconciler.model.status import StatusFacts


def head_is_applied(facts: StatusFacts) -> bool:
    """Whether the head's content is good on this machine, and no rollout is open."""
    good, head = facts.history.last_good, facts.source.head
    if facts.rollout is not None and facts.rollout.revision == head:
        return False
    attempt = attempt_at(facts, head)
    return (good is not None and good.revision == head) or (
        attempt is not None and attempt.outcome is Outcome.SUCCEEDED
    )


def attempt_at(facts: StatusFacts, revision: str | None) -> Attempt | None:
    """The newest attempt at a commit."""
    return next((item for item in reversed(facts.history.attempts) if item.revision == revision), None)


def last_attempted(facts: StatusFacts) -> str | None:
    """The newest commit that was not rejected before its attempt."""
    return next((item.revision for item in reversed(facts.history.attempts) if not _refused_at_sight(item)), None)


def _refused_at_sight(attempt: Attempt) -> bool:
    """Whether the commit was rejected before an attempt began: the journal has only its end."""
    return attempt.outcome is Outcome.REJECTED and attempt.started_at == attempt.ended_at


def last_applied(facts: StatusFacts) -> str | None:
    """The applied commit; None during a rollout: then it may be a mixture."""
    for item in reversed(facts.history.attempts):
        match item.outcome:
            case Outcome.SUCCEEDED:
                return item.revision
            case Outcome.ROLLED_BACK:
                return item.reverted_to
            case Outcome.ROLLBACK_FAILED:
                return None
            # The content is known once everything is prepared: before that, nothing was touched.
            case Outcome.STARTED | Outcome.INTERRUPTED | Outcome.FAILED if item.content is not None:
                return None
    return None


def warnings(facts: StatusFacts) -> tuple[Violation, ...]:
    """Warnings of the head, tried or held, and of corrections since last good passed its gate."""
    head, found = facts.source.head, []
    for attempt in reversed(facts.history.attempts):
        if attempt.revision == head or attempt.intent is Intent.REPAIR:
            found.append(attempt.warnings)
        if attempt.intent is Intent.ADVANCE and attempt.outcome is Outcome.SUCCEEDED:
            break
    held = [item.warnings for item in facts.history.holding(head)]
    return tuple(dict.fromkeys(item for items in (*held, *reversed(found)) for item in items))
