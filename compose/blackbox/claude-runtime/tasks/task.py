"""One task and its result. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

QUEUED, RUNNING, SUCCEEDED, FAILED = "queued", "running", "succeeded", "failed"
CANCELLED, TIMED_OUT, INTERRUPTED = "cancelled", "timed-out", "interrupted"
ENDED = frozenset({SUCCEEDED, FAILED, CANCELLED, TIMED_OUT, INTERRUPTED})
KILLED = -9


@dataclass(frozen=True, slots=True)
class Task:
    """Times are seconds since 1970; 0: not yet. `folder` is relative to the workspace. `attempts`: started so often."""

    id: str
    created: float
    status: str = QUEUED
    folder: str = ""
    clone: str = ""
    model: str = ""
    minutes: float = 30.0
    usd: float = 5.0
    once: bool = False
    """Whether the task is never started a second time."""
    attempts: int = 0
    started: float = 0.0
    ended: float = 0.0
    text: str = ""
    """The answer, or what went wrong."""
    spent: float | None = 0.0
    """Cost of the last attempt in USD; None if it was killed before it could report it."""
    turns: int = 0
    session: str = ""

    @property
    def document(self) -> dict[str, Any]:
        return asdict(self)

    def begun(self, now: float) -> Task:
        return replace(self, status=RUNNING, attempts=self.attempts + 1, started=now, ended=0.0, text="")

    def after(self, result: Mapping[str, Any] | None, errors: str, code: int, why: str, now: float) -> Task:
        """The task after an attempt. `result`: Claude Code's last event, or None. `why`: why we ended it, or ''."""
        told = result or {}
        done = replace(
            self, ended=now, text=str(told.get("result") or told.get("subtype") or ""),
            spent=float(told.get("total_cost_usd") or 0) if result else None, turns=int(told.get("num_turns") or 0),
            session=str(told.get("session_id") or ""),
        )  # fmt: skip
        if why:
            status = why if why in ENDED else FAILED
            return replace(done, status=status, text=done.text or f"ended: {why}")
        if result is None:
            last = (errors.strip() or "it printed nothing").splitlines()[-1][:500]
            killed = "killed, as happens when memory runs out" if code == KILLED else f"exit {code}"
            return replace(done, status=INTERRUPTED if code == KILLED else FAILED, text=f"{killed}: {last}")
        return replace(done, status=FAILED if told.get("is_error") or code else SUCCEEDED)

    def again(self, attempts: int) -> Task:
        """Queued again if it was interrupted and has attempts left; else unchanged. `attempts`: most per task."""
        if self.status != INTERRUPTED or self.once or self.attempts >= attempts:
            return self
        return replace(self, status=QUEUED)


def from_document(document: Mapping[str, Any]) -> Task:
    """KeyError or TypeError if the document describes no task. Unknown fields are ignored."""
    known = {name: document[name] for name in Task.__dataclass_fields__ if name in document}
    return Task(**{"id": document["id"], "created": document["created"], **known})
