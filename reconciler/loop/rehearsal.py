"""The outcome of the next turn: the turn itself, with ports that change nothing.

Its input is real, and its records stay in this process. It stops at the point where it would begin to work: the turn
carries out the plan that it has then. So `plan` and a turn cannot disagree.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import field, replace
from typing import Any, cast

from reconciler.loop.cycle import Cycle
from reconciler.loop.ledger import Ledger
from reconciler.loop.machine import Foreseen
from reconciler.loop.options import Options, Ports
from reconciler.loop.ports import Watch
from reconciler.loop.prepare import Prepared, Preparer
from reconciler.loop.turn import Turn
from reconciler.model.desired import DesiredState
from reconciler.model.files import Commit, Files
from reconciler.model.history import Attempt, History
from reconciler.model.images import Image
from reconciler.model.outcome import Intent, Outcome, Violation
from reconciler.model.plan import Action, Outlook, Plan, Step
from reconciler.model.requests import Request
from reconciler.model.times import rfc3339
from reconciler.model.uses import Uses
from reconciler.values import dataclass

Record = Mapping[str, Any]

TOLD = {
    Outcome.UNCHANGED: Outcome.UNCHANGED,
    Outcome.SUCCEEDED: Outcome.UNCHANGED,
    Outcome.HELD: Outcome.HELD,
    Outcome.REJECTED: Outcome.REJECTED,
}
"""A turn that succeeds without a step has found the running content."""


class Begins(BaseException):
    """Raised where the turn would begin to change the machine. Not an Exception, so that no handler treats it as a
    fault."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """`plan`: the plan that the turn would carry out; without steps if there is none.

    `prepared`: the judged head; None if the turn ended before. `images`: want.key → the image of this machine that the
    head would run. `foreseen`: what the head would find on the machine; None if the turn did not look. `desired`: the
    head's desired state; None if the turn ended before. `revision`: the head's.
    """

    outlook: Outlook
    plan: Plan
    prepared: Prepared | None = None
    images: Mapping[str, Image] = field(default_factory=dict)
    foreseen: Foreseen | None = None
    desired: DesiredState | None = None
    revision: str = ""


def rehearse(
    ports: Ports, options: Options, records: Sequence[Record], head: Commit, trees: Callable[[], Iterable[str]]
) -> Rehearsal:
    """The outcome of a turn if `head` were the branch's head.

    `ports`: with NO_HANDS and NO_VOICE if the caller cannot change anything. `records`: the journal. `trees`: digests
    of the stored mounts. Raises Corrupt.
    """
    preparer, done = _Preparer(ports.preparer, head.sha), list[Step]()
    tied = replace(
        ports,
        source=_Source(ports.source, head),
        preparer=cast("Preparer", preparer),
        store=_Store(ports.store),
        observer=_Observer(ports.observer),
        applier=_Applier(trees),
        reporter=NO_VOICE,
        requests=_Requests(ports.requests.waiting()),
        uses=_Uses(ports.uses),
    )
    quiet = replace(options, progress=lambda step, steps, attempt: done.append(step), watchdog=None)
    cycle = Cycle(tied, quiet, Ledger(_Notebook(records), ports.clock))
    begins = False
    try:
        turn: Turn | None = cycle.turn()
    except Begins:
        turn, begins = cycle.decided, True
    plan = cycle.planned if begins or done else None  # work without an attempt only cleans up
    good = cycle.history.last_good
    base = (good.revision or None) if good else None
    prepared = preparer.prepared.get(head.sha)
    violations = (turn.violations if turn else ()) or (prepared.violations if prepared else ())
    if plan is None:
        plan = _nothing(turn, head, base)
    # Whether it fits is asked before an attempt; a rollback is taken all the same.
    plan = replace(plan, violations=violations if plan.revision == head.sha else _denials(turn))
    images, desired = preparer.images.get(head.sha, {}), preparer.desired.get(head.sha)
    return Rehearsal(_outlook(turn, plan), plan, prepared, images, cycle.foreseen, desired, head.sha)


def _nothing(turn: Turn | None, head: Commit, base: str | None) -> Plan:
    revision = (turn.reverted_to or turn.revision) if turn else None
    return Plan((turn.intent if turn else None) or Intent.ADVANCE, revision or head.sha, base)


def _denials(turn: Turn | None) -> tuple[Violation, ...]:
    """A repair also says why the head is not tried."""
    return turn.violations if turn else ()


def _outlook(turn: Turn | None, plan: Plan) -> Outlook:
    if turn is not None:
        return Outlook(TOLD.get(turn.outcome), turn.reason, turn.message, turn.hint)
    fetched = {action: [s.container or "" for s in plan.steps if s.action is action] for action in _FETCHING}
    told = [
        f"{word} of {', '.join(dict.fromkeys(fetched[action]))}"
        for action, word in _FETCHING.items()
        if fetched[action]
    ]
    if not told:
        return Outlook()
    return Outlook(
        message=f"the content is known only after the {' and the '.join(told)}; the steps after it may change"
    )


_FETCHING = {Action.PULL: "pull", Action.BUILD: "build"}


class _Notebook:
    """The journal, and records that this turn adds in memory."""

    is_long = False

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = list(records)

    def append(self, kind: str, *, at: float, **fields: Any) -> None:
        if kind == "started":
            raise Begins
        record = {"kind": kind, "at": rfc3339(at), **fields}
        self._records.append(json.loads(json.dumps(record)))

    def records(self) -> Sequence[Record]:
        return self._records

    def shorten(self, shorter: Callable[[Sequence[Record]], Sequence[Record]]) -> bool:
        return False


class _Through:
    """Delegates all other methods to the real port."""

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


class _Preparer(_Through):
    """Remembers, by revision, how commits were judged and with which images they were lowered."""

    def __init__(self, real: Any, head: str) -> None:
        super().__init__(real)
        self._head = head
        self.prepared: dict[str, Prepared] = {}
        self.images: dict[str, Mapping[str, Image]] = {}
        self.desired: dict[str, DesiredState] = {}

    def prepare(self, files: Files) -> Prepared:
        prepared: Prepared = self._real.prepare(files)
        self.prepared[files.revision or self._head] = prepared
        return prepared

    def lower(self, prepared: Prepared, images: Mapping[str, Image], revision: str) -> DesiredState:
        self.images[revision] = images
        desired: DesiredState = self._real.lower(prepared, images, revision)
        self.desired[revision] = desired
        return desired


class _Store(_Through):
    """Saves in memory only."""

    def __init__(self, real: Any) -> None:
        super().__init__(real)
        self._saved: dict[str, DesiredState] = {}

    def save(self, desired: DesiredState, models: Mapping[str, Mapping[str, Any]]) -> None:
        self._saved[desired.content] = desired

    def load(self, content: str) -> DesiredState | None:
        found: DesiredState | None = self._saved.get(content) or self._real.load(content)
        return found

    def current(self, content: str) -> bool:
        return content in self._saved or bool(self._real.current(content))

    def keep(self, contents: Iterable[str]) -> None: ...


class _Observer(_Through):
    def watch(self) -> AbstractContextManager[Watch]:
        """Every walk along a plan begins with it, also one whose attempt was begun by an earlier process."""
        raise Begins


class _Uses(_Through):
    def save(self, uses: Uses) -> None: ...


class _Reporter:
    def tell(self, attempt: Attempt) -> bool:
        return False

    def keep(self, history: History) -> None: ...


class _Requests:
    """Waiting requests are answered as in a turn, but stay in their folder."""

    def __init__(self, waiting: Iterable[Request]) -> None:
        self._waiting = list(waiting)

    def waiting(self) -> Sequence[Request]:
        return tuple(self._waiting)

    def remove(self, request: Request) -> None:
        self._waiting.remove(request)


class _Applier:
    """Effects of a turn outside of an attempt are skipped, and the turn goes on. All other effects belong to an
    attempt."""

    def __init__(self, stored: Callable[[], Iterable[str]] = tuple) -> None:
        self._stored = stored

    def trees(self, desired: DesiredState, files: Files | None) -> frozenset[str]:
        """Returns the trees that would be written: containers that mount them start again."""
        return frozenset({tree.digest for tree in desired.trees}.difference(self._stored()))

    def stored_trees(self) -> Sequence[str]:
        return tuple(self._stored())

    def link(self, folder: str, to: str) -> None: ...

    def update(self, container: str, restart: str) -> None: ...

    def update_all(self, policies: Mapping[str, str]) -> None: ...

    def remove(self, container: str) -> None: ...

    def remove_network(self, name: str) -> None: ...

    def remove_trees(self, digests: Iterable[str]) -> None: ...

    def remove_image(self, name: str) -> None: ...

    def __getattr__(self, name: str) -> Any:
        raise Begins


NO_HANDS, NO_VOICE = _Applier(), _Reporter()
"""Ports for callers that only read."""
