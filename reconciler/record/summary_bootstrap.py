"""The document of `bootstrap`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reconciler.model.checks import Check
from reconciler.record.contract import Document, document


def bootstrap(
    host: str,
    outcome: str,
    changes: Iterable[tuple[str, str, Sequence[str], str]],
    checks: Iterable[Check],
    notes: Sequence[str],
    following: Sequence[str],
) -> Document:
    """`outcome`: rehearsed, refused, failed, done. `changes`: name, sentence, commands, state (planned, made, failed).
    `notes`: facts that change nothing; `following`: what a person does next."""
    return document("Bootstrap") | {
        "host": host,
        "outcome": outcome,
        "changes": [
            {"name": name, "sentence": sentence, "commands": list(commands), "state": state}
            for name, sentence, commands, state in changes
        ],
        "checks": [_check(item) for item in checks],
        "notes": list(notes),
        "next": list(following),
    }


def _check(item: Check) -> Document:
    """A text of a document is one line, so the further lines of a message are texts of their own."""
    first, *said = item.message.splitlines() or [""]
    return {"name": item.name, "ok": item.ok, "message": first, "said": said, "hint": item.hint}
