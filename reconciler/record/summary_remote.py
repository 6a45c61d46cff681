"""The documents of the verbs that work from the laptop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.model.outcome import Outcome, Reason
from reconciler.record.contract import Document, document, word

Json = Mapping[str, Any]


def turn(
    outcome: Outcome, reason: Reason | None, message: str, revision: str | None, lines: Sequence[str] = ()
) -> Document:
    """A `Turn` that another machine has not taken, or not yet. `lines`: what git has said."""
    return document("Turn") | {
        "revision": revision,
        "intent": None,
        "outcome": outcome.value,
        "reason": word(reason),
        "message": "\n".join([message, *lines]),
        "hint": "",
        "attempt": None,
        "revertedTo": None,
        "effects": 0,
        "durationSeconds": 0.0,
        "services": [],
        "failure": None,
        "violations": [],
        "warnings": [],
    }


def turn_of(row: Json, seconds: float) -> Document:
    """The `Turn` that a row of another machine's history tells of. `seconds`: since the push."""
    same = ("revision", "intent", "outcome", "reason", "message", "revertedTo", "services", "failure", "warnings")
    return turn(Outcome(row["outcome"]), None, "", row["revision"]) | {
        **{name: row[name] for name in same},
        "attempt": row["id"],
        "durationSeconds": round(seconds, 3),
    }


def fleet(rows: Sequence[Json]) -> Document:
    """Each machine in one row: name, revision, state, reason, at, source."""
    return document("Fleet") | {"hosts": [dict(row) for row in rows]}


def net_test(
    host: str,
    rtts: tuple[float | None, float | None],
    rates: tuple[float | None, float | None],
    services: Sequence[tuple[str, str, int, float | None]],
    watched: tuple[float, int, float],
    messages: Sequence[str],
) -> Document:
    """`rtts`: p50 and p95 in seconds; `rates`: bytes a second up and down; `watched`: seconds, losses, seconds lost."""
    return document("NetTest") | {
        "host": host,
        "rttMs": {"p50": _scaled(rtts[0], 1000), "p95": _scaled(rtts[1], 1000)},
        "upMBps": _scaled(rates[0], 1e-6),
        "downMBps": _scaled(rates[1], 1e-6),
        "services": [
            {"stack": stack, "service": service, "port": port, "ms": _scaled(took, 1000)}
            for stack, service, port, took in services
        ],
        "seconds": round(watched[0], 1),
        "reconnects": watched[1],
        "lostSeconds": round(watched[2], 1),
        "verdict": "poor" if messages else "good",
        "messages": list(messages),
    }


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else round(value * factor, 2)
