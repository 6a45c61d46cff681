"""What the next turn would come to: the turn itself, taken with tied hands.

What it reads is real, what it records stays in this process, and the first thing that it would change ends it. So
`plan` and a turn cannot disagree.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from reconciler.loop.cycle import Cycle
from reconciler.loop.ledger import Ledger
from reconciler.loop.options import Options, Ports
from reconciler.loop.turn import Turn
from reconciler.model.desired import DesiredState
from reconciler.model.files import Commit, Files
from reconciler.model.history import Attempt, History
from reconciler.model.outcome import Outcome
from reconciler.model.plan import OPEN, Outlook, Plan
from reconciler.model.requests import Request
from reconciler.model.uses import Uses

Record = Mapping[str, Any]

TOLD = {
    Outcome.UNCHANGED: Outcome.UNCHANGED,
    Outcome.SUCCEEDED: Outcome.UNCHANGED,
    Outcome.HELD: Outcome.HELD,
    Outcome.REJECTED: Outcome.REJECTED,
}
"""A turn that succeeds without a step has found the content that runs already."""


class Begins(BaseException):
    """The turn would begin to change the machine. No `except Exception` may take it for a fault."""


def rehearse(ports: Ports, options: Options, records: Sequence[Record], head: Commit) -> tuple[Outlook, Plan | None]:
    """What a turn would come to if `head` were the branch's head, and the plan that it would begin to walk.

    `ports`: with NO_HANDS, NO_VOICE and NO_REQUESTS for what would change anything. `records`: the journal.
    Raises Corrupt.
    """
    tied = replace(ports, source=_Source(ports.source, head), store=_Store(ports.store), uses=_Uses(ports.uses))
    cycle = Cycle(tied, options, Ledger(_Notebook(records), ports.clock))
    try:
        turn: Turn | None = cycle.turn()
        plan = None
    except Begins:
        turn, plan = cycle.decided, cycle.planned
    if turn is None:
        return OPEN, plan
    return Outlook(TOLD.get(turn.outcome), turn.reason, turn.message, turn.hint), plan


class _Notebook:
    """The journal as it was, and what this turn alone adds."""

    is_long = False

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = list(records)

    def append(self, kind: str, *, at: float, **fields: Any) -> None:
        if kind == "started":
            raise Begins
        record = {"kind": kind, "at": datetime.fromtimestamp(at, UTC).isoformat(), **fields}
        self._records.append(json.loads(json.dumps(record)))

    def records(self) -> Sequence[Record]:
        return self._records

    def shorten(self, shorter: Callable[[Sequence[Record]], Sequence[Record]]) -> bool:
        return False


class _Through:
    """Gives what it does not define itself from the real port."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class _Source(_Through):
    def __init__(self, real: Any, head: Commit) -> None:
        super().__init__(real)
        self._head = head

    def fetch(self) -> Commit:
        return self._head

    def fetched(self) -> str | None:
        return self._head.sha

    def pin(self, name: str, sha: str) -> None: ...

    def unpin(self, name: str) -> None: ...

    def tidy(self) -> None: ...


class _Store(_Through):
    def save(self, desired: DesiredState, models: Mapping[str, Mapping[str, Any]]) -> None: ...

    def keep(self, contents: Iterable[str]) -> None: ...


class _Uses(_Through):
    def save(self, uses: Uses) -> None: ...


class _Reporter:
    def tell(self, attempt: Attempt) -> bool:
        return False

    def keep(self, history: History) -> None: ...


class _Requests:
    def waiting(self) -> Sequence[Request]:
        return ()

    def remove(self, request: Request) -> None: ...


class _Applier:
    """Files of last good that somebody deleted, and links of an adoption, are made by the turn without an attempt; what
    follows does not depend on them here. Everything else is what the turn would begin with."""

    def trees(self, desired: DesiredState, files: Files | None) -> frozenset[str]:
        return frozenset()

    def link(self, folder: str, to: str) -> None: ...

    def __getattr__(self, name: str) -> Any:
        def begins(*given: Any, **named: Any) -> None:
            raise Begins

        return begins


NO_HANDS, NO_VOICE, NO_REQUESTS = _Applier(), _Reporter(), _Requests()
"""Ports of somebody who only asks."""
