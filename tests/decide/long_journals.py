"""Journals of long lives, one record after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

AT = "2026-01-01T00:00:00Z"
Record = Mapping[str, Any]


def _record(kind: str, **fields: Any) -> Record:
    return {"v": 1, "kind": kind, "at": AT, **fields}


def _ended(attempt: str, sha: str, **more: Any) -> Record:
    known = {"intent": "Advance", "message": "all 7 services are good", "services": [], "lines": [], "inputs": ""}
    return _record("ended", attempt=attempt, revision=sha, **known, **more)


def _began(n: int) -> tuple[str, str, list[Record]]:
    sha = f"{n:040x}"
    attempt = f"{n}-{sha[:8]}"
    started = _record("started", attempt=attempt, revision=sha, intent="Advance", before=None)
    return attempt, sha, [_record("seen", revision=sha), started]


def applied(n: int) -> list[Record]:
    """A commit that is good."""
    attempt, sha, records = _began(n)
    services = [{"stack": "shop", "service": f"s{i}", "action": "Switched", "downtime": 1.5} for i in range(2)]
    good = {"outcome": "Succeeded", "reason": "ReconciliationSucceeded", "content": sha, "state": "success"}
    return [
        *records,
        _record("prepared", attempt=attempt, content=sha, stacks=["shop"]),
        {**_ended(attempt, sha, final=True, good=True, closing=True, **good), "services": services},
        _record("told", revision=sha),
        _record("closed", attempt=attempt, gone=[]),
    ]


def refused(n: int) -> list[Record]:
    """A commit that breaks a rule: no attempt begins."""
    attempt, sha, records = _began(n)
    bad = {"outcome": "Rejected", "reason": "PolicyViolation", "state": "failure", "bad": True, "content": None}
    return [records[0], _ended(attempt, sha, final=True, **bad), _record("told", revision=sha)]


def failing(n: int) -> list[Record]:
    """The environment fails again and again, and nothing is cleaned up."""
    attempt, sha, records = _began(n)
    return [*records, _ended(attempt, sha, outcome="Failed", reason="PullFailed", closing=True)]


def killed(n: int) -> list[Record]:
    """Attempts that never end."""
    return _began(n)[2]


LIVES: Mapping[str, Callable[[int], list[Record]]] = {
    "applied": applied,
    "refused": refused,
    "failing": failing,
    "killed": killed,
}


def journal(life: Callable[[int], list[Record]], attempts: int) -> Iterator[Record]:
    for n in range(1, attempts + 1):
        yield from life(n)
