"""Past events, folded from the journal. Times are seconds of the Unix epoch."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import field

from reconciler.model.desired import ServiceKey
from reconciler.model.engine import Engine
from reconciler.model.outcome import CommitState, Failure, Intent, Outcome, Reason, Violation
from reconciler.model.requests import Answered, Suspension
from reconciler.model.stock import Fetched
from reconciler.values import dataclass


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """What an attempt did to one service: Created, Switched, Updated, RanOnce, Removed or Unchanged.

    `downtime`: seconds from the first stop until the service was healthy again.
    """

    stack: str
    service: str
    action: str
    downtime: float = 0.0


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan of an attempt, before its first step; services are `stack/service`.

    `downtime`: longest possible seconds. `before`, `after`, `peak`: memory of running containers in bytes; `bound`:
    their upper bound. `images`: those of new or replaced services.
    """

    restarts: tuple[str, ...] = ()
    creates: tuple[str, ...] = ()
    removes: tuple[str, ...] = ()
    downtime: tuple[tuple[str, float], ...] = ()
    before: int = 0
    after: int = 0
    peak: int = 0
    bound: int = 0
    images: tuple[tuple[str, str], ...] = ()

    @property
    def changes(self) -> bool:
        return bool(self.restarts or self.creates or self.removes)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at one target. `content` is None if it ended before the content was known.

    `final`: `state` is the commit's one final state. `quarantined`: the commit is; its rollback may still be under way.
    `closed`: nothing of the attempt is left to clean up. `warnings`: those of the admitted commit, and of what was lost
    meanwhile. `stacks`: those of the prepared commit. `planned` None: nothing was planned, or an older version did not
    record it.
    """

    id: str
    revision: str
    intent: Intent
    started_at: float
    content: str | None = None
    outcome: Outcome = Outcome.STARTED
    reason: Reason | None = None
    message: str = ""
    ended_at: float | None = None
    final: bool = False
    state: CommitState | None = None
    before: str | None = None
    reverted_to: str | None = None
    services: tuple[ServiceRecord, ...] = ()
    failure: Failure | None = None
    lines: tuple[str, ...] = ()
    quarantined: bool = False
    touched: bool = True
    closed: bool = True
    warnings: tuple[Violation, ...] = ()
    stacks: tuple[str, ...] = ()
    planned: Planned | None = None

    @property
    def open(self) -> bool:
        return self.outcome is Outcome.STARTED


@dataclass(frozen=True, slots=True)
class Good:
    """A state of the machine that passed its window. `content` '': the journal that had it is lost.

    `revision` '': no commit, but the state before the first one.
    """

    revision: str
    content: str
    at: float


@dataclass(frozen=True, slots=True)
class Bad:
    """A quarantined commit.

    `content` None: it was rejected before its content was known, because of the host's rules and secrets that `inputs`
    identifies; when those change it is judged anew.
    """

    revision: str
    content: str | None
    reason: Reason
    at: float
    inputs: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """Why a commit was held before an attempt began. `outcome`: Held, or Failed if the environment was the cause.
    `ended_at` None: it is still held, as far as anybody has checked. `warnings`: other findings."""

    revision: str
    outcome: Outcome
    reason: Reason
    message: str
    hint: str
    since: float
    ended_at: float | None = None
    warnings: tuple[Violation, ...] = ()


FOUND_SPEC = "found-"
"""Prefix of the spec of adopted containers that match no service."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """A container that plain Compose has started, and the service that it stands for.

    `mounts` (target → kind, source, writable) and `image`: those of the service, if the container has the same under
    another name. `proven`: a commit with this service was good since, so a commit without the service removes the
    container.
    """

    stack: str
    spec: str
    mounts: Mapping[str, tuple[str, str, bool]] = field(default_factory=dict)
    image: str | None = None
    proven: bool = False

    @property
    def itself(self) -> bool:
        """Whether it matches no service, and so represents only itself: no good commit has it."""
        return self.spec.startswith(FOUND_SPEC)


@dataclass(frozen=True, slots=True)
class RestartBackoff:
    """How often containers of one service were started again without a change.

    `times`: when, newest last. `given_up`: it was started too often and is given up now.
    """

    times: tuple[float, ...] = ()
    given_up: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """What the agent remembers.

    - `attempts`: oldest first.
    - `finals`: each commit that has its final state → the attempt that gave it.
    - `seen`: commits that were head at a poll, newest last. `seen_at`: since when the newest is head.
    - `told`: commits whose final state was reported on the commit. `told_at`: when the last one was.
    - `ran_once`: specs of one-shots that have succeeded.
    - `fetched`: images that we brought to the machine: pulled ones by id, built ones by our own tag.
    - `unended`: number of attempts since the last one that ended.
    - `faults`: number of attempts in a row that the environment ended.
    - `requests`: operators' requests, oldest first.
    - `suspension`: the last one; it may be over (see `suspended`).
    - `accepted`: commits that may pass a hold.
    - `lifted`: commits whose quarantine an operator has lifted, without a verdict since.
    - `kept`: id of the attempt whose rollback failed, and after which an operator accepted the running containers.
    - `asked`: commits that are held until somebody consents → the objects that they would take over (`Taking.key`).
    - `consented`: those of the objects that an operator has consented to.
    - `adopted`: containers that we did not create, by id.
    - `links`: our name of a data folder → its target.
    - `backoffs`: services whose containers had to be started again.
    - `tolerated`: (spec, fact, found) of differences that remained after their own repair, because this engine makes
      containers in this way.
    - `unstartable`: ids of containers that the engine does not start.
    - `stopped`: ids of containers that may have ended by themselves, and that ran until a rollout stopped them → their
      start (the engine's text).
    - `defects`: commit → errors of this program with it since its last decision.
    - `held`: holds of commits, oldest first.
    - `engine`: its abilities, as recorded last.
    - `unproven`: volumes and data folders that were empty when an attempt began to use them, and that no good commit is
      known to have used.
    """

    attempts: tuple[Attempt, ...] = ()
    last_good: Good | None = None
    quarantined: Mapping[str, Bad] = field(default_factory=dict)
    finals: Mapping[str, Attempt] = field(default_factory=dict)
    seen: tuple[str, ...] = ()
    told: frozenset[str] = frozenset()
    ran_once: frozenset[str] = frozenset()
    stacks: frozenset[str] = frozenset()
    fetched: Mapping[str, Fetched] = field(default_factory=dict)
    unended: int = 0
    faults: int = 0
    seen_at: float = 0.0
    requests: tuple[Answered, ...] = ()
    suspension: Suspension | None = None
    accepted: frozenset[str] = frozenset()
    lifted: frozenset[str] = frozenset()
    kept: str = ""
    asked: Mapping[str, frozenset[str]] = field(default_factory=dict)
    consented: frozenset[str] = frozenset()
    adopted: Mapping[str, Adopted] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    backoffs: Mapping[ServiceKey, RestartBackoff] = field(default_factory=dict)
    tolerated: frozenset[tuple[str, str, str]] = frozenset()
    unstartable: frozenset[str] = frozenset()
    stopped: Mapping[str, str] = field(default_factory=dict)
    defects: Mapping[str, int] = field(default_factory=dict)
    told_at: float | None = None
    held: tuple[Held, ...] = ()
    unproven: frozenset[str] = frozenset()
    engine: Engine | None = None

    def holding(self, revision: str | None) -> tuple[Held, ...]:
        """The holds of this commit, oldest first."""
        found = itertools.takewhile(lambda item: item.ended_at is None, reversed(self.held))
        return tuple(item for item in found if item.revision == revision)[::-1]

    @property
    def last(self) -> Attempt | None:
        return self.attempts[-1] if self.attempts else None

    @property
    def unfinished(self) -> bool:
        """Whether an attempt was interrupted, so that the machine may be anywhere between before and after."""
        return any(attempt.open or not attempt.closed for attempt in self.attempts)

    def suspended(self, now: float) -> Suspension | None:
        """The suspension that is in force."""
        return self.suspension if self.suspension is not None and self.suspension.lasts(now) else None

    @property
    def digests(self) -> frozenset[str]:
        """Contents and specs that identify known states."""
        contents = {item.content for item in (*self.attempts, *self.quarantined.values(), self.last_good) if item}
        specs = {item.spec for item in self.adopted.values()} | {spec for spec, _, _ in self.tolerated}
        return frozenset(item for item in contents | specs | self.ran_once if item)

    def was_decided(self, sha: str) -> bool:
        """Whether the commit had a verdict. If the journal that knew it is lost or cut off, the mirror's refs remember
        it, and the commit's note shows it."""
        return sha in self.quarantined or (self.last_good is not None and self.last_good.revision == sha)

    def bad_content(self, content: str) -> Bad | None:
        """The first commit that was quarantined for this content."""
        return next((bad for bad in self.quarantined.values() if bad.content == content), None)
