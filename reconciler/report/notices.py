"""The messages that people should get, computed from the journal's history and the published status.

| notice | told when | over when |
|---|---|---|
| a commit | it has its final state (success, failure, error) | never: it is reported once |
| degraded | services of last good do not work | all work again |
| stalled | a person is needed | no person is needed |
| held | the head waits for a person | there is another head, or the head is accepted |
| alert, each by itself | the monitor has published it, and no other notice tells it | it is not active any more |
| environment | engine, remote, registry or disk fail | they do not |

A superseded commit gets no notice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any

from reconciler.model.alerts import TEST
from reconciler.model.history import Attempt, History
from reconciler.model.outcome import RETRIED, CommitState, Intent, Outcome, Reason
from reconciler.model.times import instant
from reconciler.values import dataclass

MOST = 200
"""Number of attempts that are looked at, the newest ones."""

BROKEN = frozenset({"Degraded", "Missing"})
WORKING = frozenset({"Healthy", "Suspended"})
"""Healths of a service. A service that is starting is neither broken nor working."""

WELL = frozenset({"Healthy", "Progressing", "Suspended"})
"""Healths of the host in which the heartbeat is sent."""

ALERTS_TOLD_OTHERWISE = frozenset({"agent-silent", "branch-unreachable", "service-unhealthy"})
"""Alerts of the monitor that are not told as `alert`, because `stalled`, `environment` or `degraded` tells them."""

_TOLD_OTHERWISE = frozenset({Reason.SUSPENDED, Reason.STALLED, Reason.ROLLBACK_FAILED})
"""Reasons of a hold that are not told as `held`: an operator caused it, or `stalled` tells it."""


class Event(StrEnum):
    """The events that a target can subscribe to."""

    FAILURE = "failure"
    RECOVERED = "recovered"
    DEGRADED = "degraded"
    STALLED = "stalled"
    HELD = "held"
    BUDGET = "budget"
    ALERT = "alert"
    ENVIRONMENT = "environment"
    SUCCESS = "success"


@dataclass(frozen=True, slots=True)
class Standing:
    """The parts of the Status document that notices use. `well`: the heartbeat is sent. `broken`: services with their
    reasons. `engine`: the engine does not answer; `fetch`: why the branch cannot be fetched. `settled`: the head was
    reconciled. `alerts`: the monitor's, as (name and subject, message). `broken`, `stalled` and `alerts` are None while
    they are not known.
    """

    well: bool = False
    head: str | None = None
    broken: tuple[tuple[str, str], ...] | None = None
    stalled: bool | None = None
    message: str = ""
    engine: bool = False
    fetch: str = ""
    rollout: bool = False
    settled: bool = False
    alerts: tuple[tuple[str, str], ...] | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition of the host. `facts`: its parts, each told once while it holds; empty: the condition does not hold;
    None: not known at the moment. `events`: a target gets it if it wants one of them. `lines` explain it. `each`: each
    fact has notices of its own for its begin and its end, and one line.
    """

    event: Event
    facts: tuple[str, ...] | None
    events: frozenset[Event]
    lines: tuple[str, ...] = ()
    each: bool = False

    def only(self, fact: str) -> Condition:
        """The condition with this fact alone."""
        lines = tuple(line for name, line in zip(self.facts or (), self.lines, strict=True) if name == fact)
        return replace(self, facts=(fact,), lines=lines)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A commit's final state. `fact`: identifies the verdict, so that it is reported once. `events`: the events that it
    is."""

    attempt: Attempt
    fact: str
    events: frozenset[Event]


def standing(document: Mapping[str, Any] | None) -> Standing:
    """Read a masked Status document. For None or an Error document nothing is known."""
    if document is None or document["kind"] != "Status":
        return Standing()
    health, rollout = document["health"], document["rollout"] is not None
    services = [row for stack in document["stacks"] if stack["health"] != "Suspended" for row in stack["services"]]
    unsure = rollout or document["suspended"] is not None
    return Standing(
        well=health in WELL and not document["stalled"],
        head=document["source"]["head"],
        broken=None if unsure else _broken(services),
        stalled=True if document["stalled"] else None if rollout else False,
        message=": ".join(text for text in (document["reason"], document["message"]) if text),
        engine=document["reason"] == Reason.ENGINE_UNAVAILABLE,
        fetch=document["source"]["error"] or "",
        rollout=rollout,
        settled=document["reason"] == Reason.RECONCILIATION_SUCCEEDED,
    )


def _broken(services: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, str], ...] | None:
    found = tuple((f"{row['stack']}/{row['service']}", _why(row)) for row in services if row["health"] in BROKEN)
    return found if found or all(row["health"] in WORKING for row in services) else None


def _why(row: Mapping[str, Any]) -> str:
    return ", ".join(filter(None, (row["health"], row["reason"])))


def alerts_of(document: Mapping[str, Any], now: float, stale: float) -> tuple[tuple[str, str], ...] | None:
    """(name and subject, message) of each alert in the monitor's document. None: no monitor has looked within `stale`
    seconds."""
    try:
        if not 0 <= now - instant(document["evaluatedAt"]) <= stale:
            return None
        found = [item for item in document["alerts"]
                 if item["name"] not in ALERTS_TOLD_OTHERWISE or item["about"] == TEST]  # fmt: skip
        return tuple((_subject(item), str(item["message"])) for item in found)
    except (LookupError, TypeError, ValueError):
        return None


def _subject(item: Mapping[str, Any]) -> str:
    service = "/".join(part for part in (item["stack"], item["service"]) if part)
    return " ".join(part for part in (item["name"], service, item["about"]) if part)


def conditions(history: History, now: Standing) -> Iterator[Condition]:
    """A condition of each kind, whether it holds or not."""
    broken = now.broken
    names = None if broken is None else tuple(name for name, _ in broken)
    lines = tuple(f"{name}: {why}" for name, why in broken or ())
    yield Condition(Event.DEGRADED, names, frozenset({Event.DEGRADED}), lines)
    stalled = None if now.stalled is None else ("stalled",) if now.stalled else ()
    alerts = None if now.alerts is None else tuple(name for name, _ in now.alerts)
    told = tuple(line for _, line in now.alerts or ())
    yield Condition(Event.ALERT, alerts, frozenset({Event.ALERT}), told, each=True)
    yield Condition(Event.STALLED, stalled, frozenset({Event.STALLED}), (now.message,))
    holding = history.holding(now.head)
    waits = [item for item in holding if item.outcome is Outcome.HELD and item.reason not in _TOLD_OTHERWISE]
    budget = {Event.BUDGET} if any(item.reason is Reason.BUDGET_EXCEEDED for item in waits) else set()
    yield Condition(
        Event.HELD,
        tuple(dict.fromkeys(f"{item.revision} {item.reason}" for item in waits)) if now.head else None,
        frozenset({Event.HELD, *budget}),
        tuple(line for item in waits for line in (f"{item.reason}: {item.message}", item.hint) if line),
    )
    yield _environment(history, now)


def _environment(history: History, now: Standing) -> Condition:
    """Faults that are tried again: of a fetch, of the engine, and those that ended the last attempt at a commit or that
    hold the head."""
    found = {str(Reason.FETCH_FAILED): now.fetch} if now.fetch else {}
    if now.engine:
        found[str(Reason.ENGINE_UNAVAILABLE)] = now.message.partition(": ")[2]
    for item in history.holding(now.head):
        if item.outcome is Outcome.FAILED:
            found.setdefault(str(item.reason), item.message)
    last = None if now.settled else history.last
    # A failed repair is reported as degraded, because the service is its cause.
    if last and last.intent is Intent.ADVANCE and last.outcome is Outcome.FAILED and last.reason is not None:
        found.setdefault(str(last.reason), last.message)
    unsure = now.rollout or now.head is None
    lines = tuple(f"{reason}: {message}" for reason, message in found.items())
    return Condition(Event.ENVIRONMENT, None if unsure else tuple(found), frozenset({Event.ENVIRONMENT}), lines)


def verdicts(history: History, floor: float) -> list[Verdict]:
    """Final states of commits that were decided after `floor` (Unix seconds), the oldest first."""
    found: list[Verdict] = []
    failed = False
    for attempt in history.attempts[-MOST:]:
        if attempt.intent is not Intent.ADVANCE or not attempt.final or attempt.state is CommitState.SUPERSEDED:
            continue
        if (attempt.ended_at or attempt.started_at) > floor:
            events = _events(attempt, failed)
            # If the end of the journal was lost, its attempts are repeated and must not be reported again. An
            # attempt after a person's `retry` is reported.
            again = f" {attempt.id}" if any(line.startswith(RETRIED) for line in attempt.lines) else ""
            found.append(Verdict(attempt, f"{attempt.state}{again}", events))
        failed = attempt.state is not CommitState.SUCCESS
    return found


def _events(attempt: Attempt, failed: bool) -> frozenset[Event]:
    if attempt.state is CommitState.SUCCESS:
        return frozenset({Event.SUCCESS, Event.RECOVERED} if failed else {Event.SUCCESS})
    more = {Event.BUDGET} if attempt.reason is Reason.BUDGET_EXCEEDED else set()
    if attempt.state is CommitState.ERROR:
        more.add(Event.ENVIRONMENT)
    return frozenset({Event.FAILURE, *more})
