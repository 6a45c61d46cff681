"""Which pull requests were judged, and what was told of them: `<state>/preview.json`. It may be deleted."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, field, fields
from pathlib import Path
from typing import Any

from reconciler.values import dataclass

VERSION = 1


@dataclass(slots=True)
class Seen:
    """One open pull request. `basis`: what its verdict follows from; `at`: when it was judged, in Unix seconds.

    `trying`: the basis of a judgement that has begun and not ended, `tries` times in a row. `remote`: the forge's id of
    our comment; `comment`, `status`: digests of what was delivered last. `error`: why it was not told or judged.
    """

    basis: str = ""
    at: float = 0.0
    trying: str = ""
    tries: int = 0
    remote: str = ""
    comment: str = ""
    status: str = ""
    error: str = ""


@dataclass(slots=True)
class PreviewBox:
    """`pulls`: by number. `error`: why none can be reported. `next_at`: the forge asks for no request before."""

    pulls: dict[str, Seen] = field(default_factory=dict)
    delivered_at: float | None = None
    error: str = ""
    next_at: float = 0.0

    @property
    def pending(self) -> int:
        return sum(not seen.basis or bool(seen.error) for seen in self.pulls.values())

    @property
    def trouble(self) -> str | None:
        """For people; None where all is well."""
        errors = (f"pull request {number}: {seen.error}" for number, seen in self.pulls.items() if seen.error)
        told = self.error or next(errors, "")
        return f"preview: {told}" if told else None


def load(path: Path) -> PreviewBox:
    """A new one where there is none, or one that cannot be read."""
    with suppress(OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        found = json.loads(path.read_bytes())
        if found["v"] == VERSION:
            pulls = {str(int(number)): _seen(value) for number, value in found["pulls"].items()}
            at = found["delivered_at"]
            return PreviewBox(pulls, None if at is None else float(at), str(found["error"]), float(found["next_at"]))
    return PreviewBox()


def save(path: Path, box: PreviewBox) -> None:
    """Whole or not at all. OSError as the disk gives it."""
    draft = path.with_suffix(".draft")
    with open(draft, "w", encoding="utf-8", opener=_private) as file:
        json.dump({"v": VERSION, **asdict(box)}, file, separators=(",", ":"))
    draft.replace(path)


def _seen(value: Mapping[str, Any]) -> Seen:
    typed: dict[str, Any] = {}
    for item in fields(Seen):
        kind: Any = type(item.default)
        typed[item.name] = kind(value[item.name])
    return Seen(**typed)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
