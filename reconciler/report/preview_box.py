"""`<state>/preview.json`: which pull requests were judged, and what was reported. The file may be deleted."""

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
    """One open pull request. `basis`: digest of everything on which its verdict depends; `at`: when it was judged, in
    Unix seconds. `trying`: the basis of a judgement that has begun `tries` times in a row without an end. `remote`: the
    forge's id of our comment; `comment`, `status`: digests of what was delivered last. `error`: why it was not judged
    or reported.
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
    """`pulls`: by number. `error`: why none can be reported. `next_at`: no request before this time (Unix seconds),
    after the forge asked for a pause or did not answer. `place`: the repository on a forge to which numbers and ids
    belong; '' in files of earlier versions."""

    pulls: dict[str, Seen] = field(default_factory=dict)
    delivered_at: float | None = None
    error: str = ""
    next_at: float = 0.0
    place: str = ""

    @property
    def pending(self) -> int:
        return sum(not seen.basis or bool(seen.error) for seen in self.pulls.values())

    @property
    def trouble(self) -> str | None:
        """The first fault, for people; None if there is none."""
        errors = (f"pull request {number}: {seen.error}" for number, seen in self.pulls.items() if seen.error)
        told = self.error or next(errors, "")
        return f"preview: {told}" if told else None


def load(path: Path, place: str) -> PreviewBox:
    """The stored box; a new one if there is no file, it cannot be read, or it is about another place."""
    found = _read(path)
    if found.place not in ("", place):
        found = PreviewBox()
    found.place = place
    return found


def _read(path: Path) -> PreviewBox:
    with suppress(OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        found = json.loads(path.read_bytes())
        if found["v"] == VERSION:
            pulls = {str(int(number)): _seen(value) for number, value in found["pulls"].items()}
            at = found["delivered_at"]
            at = None if at is None else float(at)
            return PreviewBox(pulls, at, str(found["error"]), float(found["next_at"]), str(found.get("place", "")))
    return PreviewBox()


def save(path: Path, box: PreviewBox) -> None:
    """Write the file whole or not at all. OSError from the disk."""
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
