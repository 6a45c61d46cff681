"""The next move, from the branch's head and the history."""

from __future__ import annotations

import hashlib

from reconciler.model.files import Commit
from reconciler.model.history import Attempt, History
from reconciler.model.outcome import Intent, Outcome, Reason
from reconciler.model.times import backoff, left
from reconciler.values import dataclass

FIRST_DELAY, LONGEST_DELAY, JITTER = 10.0, 600.0, 0.2
"""Seconds: the delay after the first environment fault, and the longest delay. The share by which each is spread."""

LONGEST_SPREAD = LONGEST_DELAY * (1 + JITTER)

UNENDED_LIMIT = 3
"""Interrupted attempts (a power cut, a kill) after which the host is stalled."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Change nothing now. `until`: Unix seconds of the next decision; None: only a person can end it.

    `untouched`: even drift of last good is not corrected meanwhile; the same if `stalled` is set.
    """

    reason: Reason
    message: str
    hint: str = ""
    until: float | None = None
    stalled: bool = False
    untouched: bool = False


@dataclass(frozen=True, slots=True)
class Go:
    """Go to `revision`; None: to the state without services of ours, since nothing was good before."""

    revision: str | None
    intent: Intent


def next_move(
    head: Commit, history: History, *, inputs: str, inputs_changed: bool, now: float, patient: bool
) -> Hold | Go:
    """The table in ARCHITECTURE.md, row by row.

    `head`: the newest commit that descends from those accepted before, or that a person accepted. `inputs`: digest of
    the host's config and secrets that commits are judged by. `inputs_changed`: the host's secrets differ from those
    that last good was rendered with. `patient`: wait out the delay after an environment fault.
    """
    good = history.last_good
    last = history.last
    if last is not None and last.open and last.quarantined:
        return Go(good.revision if good else None, Intent.REVERT)
    suspension = history.suspended(now)
    if suspension is not None and not (history.unfinished and good):
        message = suspension.why
        return Hold(Reason.SUSPENDED, message, "`reconciler resume` ends it", suspension.until, untouched=True)
    if history.unended >= UNENDED_LIMIT:
        return Hold(
            Reason.STALLED,
            f"{history.unended} attempts in a row began and never ended",
            f"see what ends the agent (power, memory, disk), then `reconciler retry {head.sha[:12]}`",
            stalled=True,
        )
    if suspension is not None and good is not None:
        return Go(good.revision, Intent.REPAIR)
    failed = history.attempts[-history.faults :] if history.faults else ()
    about_head = head.sha in history.finals or any(attempt.revision == head.sha for attempt in failed)
    until = _fault_until(last, history.faults)
    if patient and about_head and left(until, now, LONGEST_SPREAD):
        reason = last.reason if last and last.reason else Reason.ENGINE_UNAVAILABLE
        return Hold(reason, last.message if last else "", "it is tried again by itself", until)
    return _by_revision(head, history, inputs, inputs_changed)


def _by_revision(head: Commit, history: History, inputs: str, inputs_changed: bool) -> Hold | Go:
    good, last = history.last_good, history.last
    if last is not None and last.outcome is Outcome.ROLLBACK_FAILED and last.revision == head.sha:
        if last.id == history.kept:
            return Hold(
                Reason.ROLLBACK_FAILED,
                f"the rollback of {head.sha[:12]} failed, too; what runs was accepted",
                f"push a new commit, or `reconciler retry {head.sha[:12]}`",
                untouched=True,
            )
        if head.sha not in history.lifted:
            return Hold(
                Reason.STALLED,
                f"the rollback of {head.sha[:12]} failed, too: {last.message}",
                f"look at what runs, then push a new commit, or `reconciler retry {head.sha[:12]}`, "
                f"or keep what runs: `reconciler accept {head.sha[:12]}`",
                stalled=True,
            )
    if good is not None and good.revision == head.sha:
        return Go(head.sha, Intent.ADVANCE if inputs_changed else Intent.REPAIR)
    bad = history.quarantined.get(head.sha)
    if bad is not None and (bad.content is not None or bad.inputs in ("", inputs)):
        if good is None:
            return Hold(
                Reason.REVISION_QUARANTINED,
                f"{head.sha[:12]} was refused ({bad.reason}) and nothing was good before it",
                "fix the commit and push again",
            )
        return Go(good.revision, Intent.REPAIR)
    return Go(head.sha, Intent.ADVANCE)


def fault_delay(faults: int) -> float:
    """Seconds until the next try after this number of faults in a row."""
    return backoff(faults, FIRST_DELAY, LONGEST_DELAY)


def spread_delay(faults: int, seed: str) -> float:
    """`fault_delay`, spread by a hash of `seed`, so that several failed subjects are not retried at the same time."""
    spread = int(hashlib.sha256(seed.encode()).hexdigest()[:4], 16) / 0xFFFF * 2 - 1
    return fault_delay(faults) * (1 + JITTER * spread)


def _fault_until(last: Attempt | None, faults: int) -> float:
    """The end of the pause after an environment fault (Unix seconds); 0.0: there is none."""
    if last is None or not faults or last.ended_at is None:
        return 0.0
    return last.ended_at + spread_delay(faults, last.id)
