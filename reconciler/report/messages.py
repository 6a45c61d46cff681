"""What each channel should say about each commit: a pure function of the journal's history.

| commit | statuses | comment | deployment |
|---|---|---|---|
| its attempt is under way | pending, with the plan | the plan, where something changes | in progress |
| held, or to be tried again | pending, with the reason | edited, where there is one | edited, where there is one |
| final: success, failure, error | that | the outcome (`report.comments`) | that |
| superseded | error | edited, where there is one | edited, where there is one |
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from reconciler.model.history import Attempt, History
from reconciler.model.outcome import CommitState, Intent

STATUSES, COMMENTS, DEPLOYMENTS = "statuses", "comments", "deployments"

MOST = 200
"""Commits that are told at most, the newest ones."""


class State(StrEnum):
    """What a message says of its commit."""

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
    """Who tells, and what. `comments`: failures, changes, all or none. `log_lines`: of a failed service's log.

    `output`: with what containers, health checks and builds have said. `seal`: what nobody else can make of a digest,
    by which a comment of this host is told from one that somebody has made like it.
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
    """One thing to say. `subject`: a status's context, a deployment's environment; '' of a comment.

    `attempt` is what it is about. `held`: why nothing is tried now. `edits`: it only replaces what the channel has said
    of the commit before.
    `at`: since when it is true, in Unix seconds.
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
        """What it says, apart from how: neither another version's words nor a journal that was shortened are a reason
        to say it again."""
        facts = (self.attempt.id, self.state, self.attempt.reason or "", self.held)
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def messages(history: History, policy: Policy, floor: float) -> list[Message]:
    """All of them, the newest commit first. `floor`: what ended before is told by nobody, but for the head's."""
    found: list[Message] = []
    for revision, attempts in _commits(history, floor):
        found += _of_commit(history, policy, revision, attempts)
    return found


def _commits(history: History, floor: float) -> Iterator[tuple[str, list[Attempt]]]:
    """Commits that somebody has tried to apply, and all attempts at each, newest first."""
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
        for stack in sorted({stack for item in attempts for stack in item.stacks}):
            yield message(STATUSES, f"reconciler/{policy.host}/{stack}", stack=stack, edits=over)
    if policy.comments != "none" and (why or state is not State.PENDING):
        yield message(COMMENTS, "", edits=over or not _commented(policy, state, attempt))
    if policy.deployments and state is not State.PENDING:
        began = attempt.planned is not None or state is State.SUCCESS
        yield message(DEPLOYMENTS, policy.host, edits=over or not began)


def _commented(policy: Policy, state: State, attempt: Attempt) -> bool:
    """Whether a comment is worth being made for it."""
    changes = bool(attempt.planned and attempt.planned.changes)
    changes = changes or any(item.action != "Unchanged" for item in attempt.services)
    if state is State.PENDING:
        return False
    if state is State.RUNNING:
        return changes and policy.comments in ("changes", "all")
    if state in (State.FAILURE, State.ERROR):
        return True
    return policy.comments == "all" or (policy.comments == "changes" and changes)
