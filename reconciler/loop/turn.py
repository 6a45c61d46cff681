"""How a turn ends."""

from __future__ import annotations

from reconciler.model.files import Commit
from reconciler.model.outcome import Failure, Intent, Outcome, Reason, Violation
from reconciler.values import dataclass

_EXIT_CODES = {
    Outcome.UNCHANGED: 0,
    Outcome.SUCCEEDED: 0,
    Outcome.FAILED: 3,
    Outcome.ROLLBACK_FAILED: 4,
    Outcome.INTERRUPTED: 143,
}


@dataclass(frozen=True, slots=True)
class Turn:
    """The contract's `Turn`. `until`: Unix seconds; no try before this time.

    `applied`: the machine runs the branch's head. `attempt` None: nothing was started. `fetch_error`: why the branch's
    present head is not known; the turn then worked with the last head that was seen. `again`: Unix seconds of the next
    try, if an environment fault prevented this one. `warnings`: of a commit that was judged and not tried.
    """

    outcome: Outcome
    reason: Reason
    message: str
    revision: str | None = None
    intent: Intent | None = None
    attempt: str | None = None
    reverted_to: str | None = None
    violations: tuple[Violation, ...] = ()
    failure: Failure | None = None
    hint: str = ""
    until: float | None = None
    stalled: bool = False
    applied: bool = True
    fetch_error: str = ""
    again: float | None = None
    warnings: tuple[Violation, ...] = ()

    @property
    def exit_code(self) -> int:
        if self.stalled:
            return 4
        code = _EXIT_CODES.get(self.outcome, 1) or (0 if self.applied else 1)
        return code or (3 if self.fetch_error else 0)


class Ended(Exception):
    def __init__(self, turn: Turn) -> None:
        super().__init__(turn.message)
        self.turn = turn


class Anew(Exception):
    """The inputs of the turn changed while it waited: it is decided again.

    `touched`: a service may be down.
    """

    def __init__(self, why: str, touched: bool = False) -> None:
        super().__init__(why)
        self.touched = touched


class Superseded(Anew):
    """A newer commit supersedes the present attempt."""

    def __init__(self, head: Commit, touched: bool = False) -> None:
        super().__init__(head.sha, touched)
        self.head = head
