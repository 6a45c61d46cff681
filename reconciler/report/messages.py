"""The messages of each channel about each commit, computed from the journal's history.

| commit | statuses | comment | deployment |
|---|---|---|---|
| its attempt is under way | pending, with the plan | the plan, if something changes | in progress |
| held, or to be tried again | pending, with the reason | edited, if there is one | edited, if there is one |
| final: success, failure, error | that | the outcome (`report.comments`) | that |
| superseded | error | edited, if there is one | edited, if there is one |
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from enum import StrEnum

from reconciler.model.history import Attempt, History
from reconciler.model.outcome import CommitState, Intent
from reconciler.values import dataclass

STATUSES, COMMENTS, DEPLOYMENTS = "statuses", "comments", "deployments"

MOST = 200
"""Number of reported commits, the newest ones."""


class State(StrEnum):
    """The state of a commit that a message reports."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"
    SUPERSEDED = "superseded"

    @property
    def final(self) -> bool:
        return self not in (State.PENDING, State.RUNNING)


@dataclass(frozen=True, slots=True)
class Policy:
    """The host, and what it reports. `comments`: failures, changes, all or none. `log_lines`: of a failed service's
    log.

    `output`: with output of containers, health checks and builds. `seal`: turns a digest into one that only this host
    can make; it tells our comments from forged ones.
    """

    host: str
    statuses: bool = True
    comments: str = "changes"
    deployments: bool = False
    log_lines: int = 20
    output: bool = True
    seal: Callable[[str], str] | None = None

    @property
    def channels(self) -> tuple[str, ...]:
        wanted = {STATUSES: self.statuses, COMMENTS: self.comments != "none", DEPLOYMENTS: self.deployments}
        return tuple(name for name, on in wanted.items() if on)


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `subject`: a status's context, a deployment's environment; '' for a comment.

    `attempt`: its subject. `held`: why nothing is tried now. `edits`: it only replaces an earlier message of the
    channel about the commit. `at`: time since which it is true, in Unix seconds.
    """

    channel: str
    revision: str
    subject: str
    state: State
    attempt: Attempt
    at: float
    stack: str = ""
    held: str = ""
    edits: bool = False

    @property
    def key(self) -> str:
        return f"{self.channel} {self.revision} {self.subject}"

    @property
    def digest(self) -> str:
        """Digest of the facts, without the words. So neither another version's words nor a shortened journal repeats a
        message."""
        facts = (self.attempt.id, self.state, self.attempt.reason or "", self.held)
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def messages(history: History, policy: Policy, floor: float) -> list[Message]:
    """All messages, the newest commit first. `floor`: attempts that ended before are not reported, except the
    head's."""
    found: list[Message] = []
    for revision, attempts in _commits(history, floor):
        found += _of_commit(history, policy, revision, attempts)
    return found


def _commits(history: History, floor: float) -> Iterator[tuple[str, list[Attempt]]]:
    """Commits that were tried, with all their attempts, newest first."""
    tried: dict[str, list[Attempt]] = {}
    for attempt in reversed(history.attempts):
        if attempt.intent is Intent.ADVANCE:
            if attempt.revision not in tried and len(tried) >= MOST:
                break
            tried.setdefault(attempt.revision, []).append(attempt)
    head = history.seen[-1] if history.seen else None
    if head is not None and head not in tried and history.holding(head):
        yield head, []
    for revision, attempts in tried.items():
        if revision == head or any((item.ended_at or item.started_at) > floor for item in attempts):
            yield revision, attempts


def _of_commit(history: History, policy: Policy, revision: str, attempts: list[Attempt]) -> Iterator[Message]:
    final = history.finals.get(revision)
    held = history.holding(revision)
    if final is not None:
        attempt, state, why = final, State(str(final.state or CommitState.ERROR)), ""
    elif attempts and attempts[0].open:
        attempt, why = attempts[0], ""
        state = State.RUNNING if attempt.planned is not None else State.PENDING
    elif held:
        first = held[-1]
        known = attempts[0] if attempts else Attempt("", revision, Intent.ADVANCE, first.since)
        attempt = replace(known, message=first.message, reason=first.reason)
        state, why = State.PENDING, str(first.reason)
    else:
        attempt, state = attempts[0], State.PENDING
        why = str(attempt.reason or "")
    at = attempt.ended_at or attempt.started_at

    def message(channel: str, subject: str, *, stack: str = "", edits: bool = False) -> Message:
        return Message(channel, revision, subject, state, attempt, at, stack, why, edits)

    over = state is State.SUPERSEDED
    if policy.statuses:
        yield message(STATUSES, f"reconciler/{policy.host}")
        for stack in sorted(_stacks(history, attempts, final)):
            yield message(STATUSES, f"reconciler/{policy.host}/{stack}", stack=stack, edits=over)
    if policy.comments != "none" and (why or state is not State.PENDING):
        yield message(COMMENTS, "", edits=over or not _commented(policy, state, attempt))
    if policy.deployments and state is not State.PENDING:
        began = attempt.planned is not None or state is State.SUCCESS
        yield message(DEPLOYMENTS, policy.host, edits=over or not began)


def _stacks(history: History, attempts: list[Attempt], final: Attempt | None) -> set[str]:
    """The stacks of a commit; of one that was not tried because its content is known, those of that content."""
    own = {stack for item in attempts for stack in item.stacks}
    if own or final is None or final.content is None:
        return own
    same = (item.stacks for item in reversed(history.attempts) if item.content == final.content)
    return set(next(filter(None, same), ()))


def _commented(policy: Policy, state: State, attempt: Attempt) -> bool:
    """Whether the commit gets a comment."""
    changes = bool(attempt.planned and attempt.planned.changes)
    changes = changes or any(item.action != "Unchanged" for item in attempt.services)
    if state is State.PENDING:
        return False
    if state is State.RUNNING:
        return changes and policy.comments in ("changes", "all")
    if state in (State.FAILURE, State.ERROR):
        return True
    return policy.comments == "all" or (policy.comments == "changes" and changes)
