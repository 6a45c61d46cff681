"""The outboxes of a life: a forge and a target of notifications whose network fails at random.

Deliveries run as they are, between the steps of a turn and after it. Each write of an outbox is an effect of its own,
at which the whole process can die. What they have told is judged by the journal alone.
"""

from __future__ import annotations

import copy
import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from reconciler.effects import Effects
from reconciler.model.history import History
from reconciler.model.outcome import Intent
from reconciler.report.answers import Broken, ForgeError, Unreachable
from reconciler.report.box import Box
from reconciler.report.courier import Sent
from reconciler.report.delivery import Access, Delivery
from reconciler.report.messages import STATUSES, Message, Policy, State
from reconciler.report.notice_text import TWICE
from reconciler.report.notices import Standing
from reconciler.report.notifier import Heard, Notifier, Wanted
from reconciler.report.notify_box import NotifyBox, keys
from reconciler.report.watches import Target, Teller
from reconciler.settings import NotifySettings
from tests.fakes.life import Life
from tests.fakes.machine import Died

POLICY = Policy("mini", deployments=True)
CONTEXT = "reconciler/mini"
TARGET = NotifySettings("json://target", on=("failure", "success"))
WELL = Standing(True, stalled=False)
STEPS = 4
"""Messages that are delivered between two steps of a rollout; after a turn, three times as many."""

T = TypeVar("T")


class Network:
    """`how`: good, flaky or away. What fails does so before it arrives, or after, when only the answer is lost."""

    def __init__(self) -> None:
        self.how, self.chance = "flaky", random.Random(0)

    def passes(self) -> bool:
        return self.how == "good" or (self.how == "flaky" and self.chance.random() < 0.7)


@dataclass
class Row:
    sha: str
    subject: str
    state: State
    text: str


class Forge:
    """A forge in memory: what was said on each commit, in order."""

    description = 140
    scopes: Mapping[str, str] = {}

    def __init__(self, network: Network) -> None:
        self._network = network
        self.rows: list[Row] = []
        self.comments: list[tuple[str, str]] = []
        self.deployments: list[tuple[str, list[State]]] = []

    def look(self) -> str:
        return ""

    def find_status(self, message: Message, text: str) -> str:
        return self._asked(lambda: "there" if self._newest(message) == (message.state, text) else "")

    def _newest(self, message: Message) -> tuple[State, str] | None:
        rows = [row for row in self.rows if (row.sha, row.subject) == (message.revision, message.subject)]
        return (rows[-1].state, rows[-1].text) if rows else None

    def set_status(self, message: Message, text: str) -> None:
        row = Row(message.revision, message.subject, message.state, text)
        self._asked(lambda: self.rows.append(row))

    def find_comment(self, revision: str, marker: str) -> str:
        found = [str(n) for n, (sha, text) in enumerate(self.comments) if sha == revision and text.startswith(marker)]
        return self._asked(lambda: found[0] if found else "")

    def add_comment(self, revision: str, text: str) -> str:
        def add() -> str:
            self.comments.append((revision, text))
            return str(len(self.comments) - 1)

        return self._asked(add)

    def edit_comment(self, revision: str, remote: str, text: str) -> None:
        def edit() -> None:
            self.comments[int(remote)] = (revision, text)

        self._asked(edit)

    def find_deployment(self, message: Message) -> str:
        found = [str(n) for n, (sha, _) in enumerate(self.deployments) if sha == message.revision]
        return self._asked(lambda: found[0] if found else "")

    def add_deployment(self, message: Message, text: str) -> str:
        def add() -> str:
            self.deployments.append((message.revision, []))
            return str(len(self.deployments) - 1)

        return self._asked(add)

    def set_deployment(self, message: Message, remote: str, text: str) -> None:
        self._asked(lambda: self.deployments[int(remote)][1].append(message.state))

    def quiet(self) -> float:
        return 0.0

    def close(self) -> None: ...

    def _asked(self, do: Callable[[], T]) -> T:
        if not self._network.passes():
            raise self._fault()
        done = do()
        if not self._network.passes():
            raise self._fault()
        return done

    def _fault(self) -> ForgeError:
        return Broken("500") if self._network.chance.random() < 0.5 else Unreachable("no answer")


class Mailbox:
    """A target of notifications in memory: (title, body) of what arrived."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.arrived: list[tuple[str, str]] = []

    def send(self, url: str, title: str, body: str, event: str) -> Sent:
        if not self._network.passes():
            return Sent(False, "no route")
        self.arrived.append((title, body))
        return Sent(self._network.passes(), "the answer got lost")

    def fetch(self, url: str) -> Sent:
        return Sent(self._network.passes(), "")


class Disk(Generic[T]):
    """Keeps what was written last, whole, whoever dies."""

    def __init__(self, value: T) -> None:
        self._kept, self.effects = value, Effects()

    def load(self) -> T:
        return copy.deepcopy(self._kept)

    def save(self, value: T) -> None:
        self.effects.point("outbox")
        self._kept = copy.deepcopy(value)


class Telling:
    """Of one life. `decided`: commit → ids and ends of the attempts that gave it a final state; a lost journal gives an
    id again."""

    def __init__(self, life: Life) -> None:
        self._life, self.network = life, Network()
        self._late = 0.0
        begun = life.machine.clock.now() - 1.0
        self._outbox = Disk(Box(begun, begun))
        self._notices = Disk(NotifyBox({key: Target(begun) for key in keys([TARGET])}))
        self.forge, self.mailbox = Forge(self.network), Mailbox(self.network)
        self.decided: dict[str, set[tuple[str, float | None]]] = defaultdict(set)
        self._lost = False
        life.at_step = lambda: self._hear(STEPS)
        self.start()

    def start(self, crash_at: int | None = None) -> None:
        """A new process, which dies on reaching effect `crash_at` of its deliveries."""
        self._outbox.effects = self._notices.effects = Effects(crash_at, _die)
        access = Access("", lambda: self.forge)
        self._delivery = Delivery(self._outbox.load(), POLICY, lambda: access, self._outbox.save, str, self._now)
        wanted = Wanted((TARGET,), None, Teller("mini"))
        self._notifier = Notifier(self._notices.load(), wanted, self.mailbox, self._notices.save, str, self._now)

    def after_turn(self) -> None:
        """The turn is over: its process goes on delivering for a moment."""
        self._hear(3 * STEPS)

    def _now(self) -> float:
        return self._life.machine.clock.now() + self._late

    def _hear(self, steps: int) -> None:
        history = self._history()
        for _ in range(steps):
            waits = [self._delivery.step(history), self._notifier.step(Heard(history, WELL))]
            self._note_lost()
            if all(wait is None or wait > 0 for wait in waits):
                return

    def _history(self) -> History:
        history = self._life.cycle.history
        for attempt in history.attempts:
            if attempt.final and attempt.intent is Intent.ADVANCE:
                self.decided[attempt.revision].add((attempt.id, attempt.ended_at))
        return history

    def _note_lost(self) -> None:
        """What is given up after a day is told by nobody."""
        given_up = any(entry.closed for entry in self._delivery.box.entries.values())
        self._lost = self._lost or given_up or any(target.lost for target in self._notifier.box.targets.values())

    def quiet(self) -> None:
        """The network is good again, and there is time enough: everything was told exactly once."""
        self.network.how = "good"
        self.start()
        history = self._history()
        for _ in range(1000):
            waits = [self._delivery.step(history), self._notifier.step(Heard(history, WELL))]
            self._note_lost()
            if waits == [None, None]:
                break
            self._late += min(wait for wait in waits if wait is not None)
        else:
            raise AssertionError("it never ends")
        for sha, final in history.finals.items():
            self._check_statuses(sha, State(str(final.state)))
            self._check_notices(sha, told=final.state in ("success", "failure", "error"))
        for sha, _ in self.forge.comments:
            assert sum(other == sha for other, _ in self.forge.comments) == 1, "two comments on a commit"
        for sha, _ in self.forge.deployments:
            assert sum(other == sha for other, _ in self.forge.deployments) == 1, "two deployments of a commit"

    def _check_statuses(self, sha: str, state: State) -> None:
        rows = [row.state for row in self.forge.rows if (row.sha, row.subject) == (sha, CONTEXT)]
        ended = [row for row in rows if row.final]
        assert len(ended) <= len(self.decided[sha]), f"{sha}: an attempt has two terminal states: {rows}"
        entry = self._delivery.box.entries.get(f"{STATUSES} {sha} {CONTEXT}")
        if not self._lost:
            assert rows[-1:] == [state], f"{sha} is {state} and was told {rows}; {entry}"

    def _check_notices(self, sha: str, told: bool) -> None:
        ours = [body for title, body in self.mailbox.arrived if sha[:12] in (body if "notices" in title else title)]
        first = sum(TWICE not in body for body in ours)
        assert first <= len(self.decided[sha]), f"{sha} was told {first} times, and had {self.decided[sha]}"
        assert ours or not told or self._lost, f"{sha}: nobody was told"


def _die() -> None:
    raise Died
