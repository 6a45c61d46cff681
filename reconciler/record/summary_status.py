"""The Status document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.model.engine import record_of
from reconciler.model.history import Bad
from reconciler.model.requests import Suspension
from reconciler.model.status import (
    Channel,
    HostStatus,
    MemoryStatus,
    Rollout,
    ServiceStatus,
    Silence,
    StackStatus,
    StatusFacts,
)
from reconciler.record.contract import Document, document, moment, violation, word


def status(facts: StatusFacts, answer: HostStatus) -> Document:
    """The Status document; `answer` is the result of `decide.status.judge` for the same facts."""
    return document("Status") | {
        "host": facts.host,
        "agent": {
            "running": facts.agent.running,
            "pid": facts.agent.pid,
            "version": facts.agent.version,
            "startedAt": moment(facts.agent.started_at),
        },
        "source": {
            "url": facts.source.url,
            "branch": facts.source.branch,
            "head": facts.source.head,
            "lastFetchAt": moment(facts.source.last_fetch_at),
            "error": facts.source.error,
        },
        "sync": answer.sync.value,
        "health": answer.health.value,
        "reason": word(answer.reason),
        "message": answer.message,
        "since": moment(answer.since),
        "nextTryAt": moment(_next_try(facts)),
        "stalled": answer.stalled,
        "silence": None if facts.silence is None else _silence(facts.silence),
        "suspended": _suspension(facts.suspension),
        "trust": facts.trust,
        "report": [_channel(item) for item in facts.channels],
        "engine": None if answer.engine is None else record_of(answer.engine),
        "lastAttemptedRevision": answer.last_attempted,
        "lastAppliedRevision": answer.last_applied,
        "lastGoodRevision": answer.last_good,
        "quarantinedRevisions": [_bad(item) for item in facts.history.quarantined.values()],
        "rollout": None if facts.rollout is None else _rollout(facts.rollout),
        "budget": _memory(answer.memory),
        "warnings": [violation(item) for item in answer.warnings],
        "stacks": [_stack(item) for item in answer.stacks],
        "leftovers": {
            "volumes": None if answer.leftovers is None else list(answer.leftovers),
            "networks": None if answer.leftover_networks is None else list(answer.leftover_networks),
        },
    }


def _next_try(facts: StatusFacts) -> float | None:
    """When it is tried again; None while no agent runs."""
    known = facts.agent.running and facts.holding is not None and facts.rollout is None
    return facts.holding.until if known and facts.holding else None


def fetched_again(told: Mapping[str, Any], at: float | None) -> Document:
    """The Status document `told` after a fetch that brought nothing new."""
    return {**told, "source": {**told["source"], "lastFetchAt": moment(at)}}


def _channel(value: Channel) -> Document:
    return {
        "channel": value.name,
        "pending": value.pending,
        "lastDeliveredAt": moment(value.last_delivered_at),
        "error": value.error,
    }


def _suspension(value: Suspension | None) -> Document | None:
    return None if value is None else {"reason": value.why, "until": moment(value.until)}


def _bad(value: Bad) -> Document:
    return {
        "revision": value.revision,
        "contentKey": value.content,
        "reason": value.reason.value,
        "at": moment(value.at),
    }


def _silence(value: Silence) -> Document:
    return {
        "step": value.step,
        "reason": value.reason.value,
        "message": value.message,
        "since": moment(value.since),
        "blocked": value.blocked,
    }


def _rollout(value: Rollout) -> Document:
    return {
        "attempt": value.attempt,
        "revision": value.revision,
        "intent": value.intent.value,
        "step": value.step,
        "steps": value.steps,
        "action": None if value.action is None else value.action.value,
        "stack": value.stack,
        "service": value.service,
        "since": moment(value.since),
    }


def _memory(value: MemoryStatus) -> Document:
    return {
        "budgetBytes": value.budget,
        "engineBytes": value.engine,
        "reserveBytes": value.reserve,
        "committedBytes": value.committed,
        "foreignBytes": value.foreign,
        "steadyBytes": value.steady,
        "steadyLimitBytes": value.steady_limit,
        "measured": value.measured,
    }


def _stack(value: StackStatus) -> Document:
    return {
        "name": value.name,
        "sync": value.sync.value,
        "health": value.health.value,
        "services": [_service(item) for item in value.services],
    }


def _service(value: ServiceStatus) -> Document:
    return {
        "stack": value.stack,
        "service": value.service,
        "sync": value.sync.value,
        "health": value.health.value,
        "reason": word(value.reason),
        "desired": value.desired,
        "running": value.running,
        "order": value.order,
        "memory": {"limitBytes": value.limit, "usageBytes": value.usage},
        "image": value.image,
        "containers": None if value.containers is None else list(value.containers),
        "since": moment(value.since),
        "ports": None if value.ports is None else [_port(*item) for item in value.ports],
    }


def _port(address: str, port: int, protocol: str) -> Document:
    return {"address": address, "port": port, "protocol": protocol}
