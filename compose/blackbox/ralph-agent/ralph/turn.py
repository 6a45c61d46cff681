"""Reads the result of a turn from the output of Claude Code. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from result import last_result

_BLOCK = re.compile(r"---RALPH_STATUS---\s*(.*?)\s*---END_RALPH_STATUS---", re.DOTALL)
_FIELD = re.compile(r"^\s*([A-Z_]+):[ \t]*(.+?)\s*$", re.MULTILINE)
_COMPLETE = re.compile(
    r"\b(all (the )?(tasks|items|work) (are|is) (now )?(complete|completed|done)|project is complete|"
    r"nothing (is )?left to do|no (further|more) work)\b",
    re.IGNORECASE,
)
_CHANGING = re.compile(
    r"\b(req|msg|toolu)_\w+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|0x[0-9a-f]+|[0-9a-f]{8,}|\d+|/[^\s:'\"]+",
    re.IGNORECASE,
)
SYSTEM = (
    "You are one turn of a loop: each turn starts afresh and knows only what the files and the history of this "
    "repository say. Do one piece of work, commit it, and note in the repository what the next turn has to know. "
    "End your answer with exactly this block:\n---RALPH_STATUS---\nSTATUS: IN_PROGRESS | COMPLETE | BLOCKED\n"
    "ERROR: one line saying what is in the way, only if blocked\n"
    "EXIT_SIGNAL: true only if nothing is left to do, else false\n---END_RALPH_STATUS---"
)
"""The system prompt that each turn gets in addition to the prompt."""


RESULTS = ("progress", "no-progress", "error", "limited", "interrupted")
"""The possible results of a turn."""


@dataclass(frozen=True, slots=True)
class Turn:
    """`error`: '' if the turn went well. `limited`: a rate or usage limit of the API, no fault of the work.

    `complete`: the text says that the work is done. `signal`: the status block has the exit signal. `usd` None:
    the cost is unknown.
    """

    error: str = ""
    limited: bool = False
    progress: bool = False
    denials: int = 0
    output: int = 0
    usd: float | None = 0.0
    complete: bool = False
    signal: bool = False
    seconds: float = 0.0
    session: str = ""
    interrupted: bool = False

    @property
    def result(self) -> str:
        """One word for tables and metrics."""
        if self.interrupted:
            return "interrupted"
        if self.limited:
            return "limited"
        if self.error:
            return "error"
        return "progress" if self.progress else "no-progress"


def read(printed: str, errors: str, code: int, why: str) -> Turn:
    """`why`: why we ended the turn, or ''. The caller adds progress and time."""
    if why:
        return Turn(error=f"ended: {why}", usd=None, interrupted=why == "stopping")
    document = last_result(printed)
    if document is None:
        last = (errors.strip() or printed.strip() or "nothing was printed").splitlines()[-1]
        return Turn(error=f"exit {code}: {last[:300]}", usd=None)
    text = str(document.get("result") or "")
    told = dict(_FIELD.findall(found.group(1))) if (found := _BLOCK.search(text)) else {}
    failed = bool(document.get("is_error")) or code != 0
    error = (text or str(document.get("subtype")))[:300] if failed else told.get("ERROR", "")
    return Turn(
        error=error,
        limited=failed and (document.get("api_error_status") == 429 or "usage limit reached" in text.lower()),
        denials=len(document.get("permission_denials") or ()),
        output=int((document.get("usage") or {}).get("output_tokens") or 0),
        usd=float(document.get("total_cost_usd") or 0),
        complete=told.get("STATUS") == "COMPLETE" or bool(_COMPLETE.search(text)),
        signal=told.get("EXIT_SIGNAL", "").lower() == "true",
        session=str(document.get("session_id") or ""),
    )


def signature(error: str) -> str:
    """The error without numbers, identifiers, addresses and paths, so that the same error is recognized."""
    return _CHANGING.sub("#", error).strip().lower()[:200]
