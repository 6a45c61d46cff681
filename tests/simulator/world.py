"""One simulated life: what people and the world do to a machine, and what must hold at every moment of it.

The product runs as it is, on the fake machine. What must come out is judged by `wishes`, which knows nothing of the
product but which commits are good.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from reconciler.decide.shrinking import dropped_lately
from reconciler.loop.turn import Turn
from reconciler.model.outcome import Outcome, Reason
from tests.fakes.containers import FakeContainer
from tests.fakes.life import Life, document
from tests.fakes.machine import Died
from tests.simulator import tampering, wishes
from tests.simulator.wishes import Flaw, Push

BUDGET_MIB, RESERVE_MIB = 2048, 128
UNENDED = 2
"""So many kills in a row are played; after the third the agent asks a person, as it should."""
DOCUMENT = document(budget=f"{BUDGET_MIB}MiB")


class World:
    """`behaviours`: image → the name of what its containers do."""

    def __init__(self, behaviours: dict[str, str]) -> None:
        self.life = Life()
        self.life.document = DOCUMENT
        for image, name in behaviours.items():
            self.life.behave(image, wishes.ALL[name])
            if image.startswith("cache"):
                self.life.machine.image_volumes[f"sha256:{image}"] = ("/cache",)
        self.pushed: dict[str, Push] = {}
        self.rewritten = False
        self._before_rewrite: set[str] = set()
        self._volumes: set[str] = set()
        self._journal = _JournalChecks(self.pushed)
        self._traced = 0

    # -- what people do ----------------------------------------------------------------------------------------

    def push(self, push: Push) -> None:
        texts = {"desired-state/mini.yaml": DOCUMENT, "shop.yaml": json.dumps(wishes.model(push))}
        if push.flaw is Flaw.INVALID:
            texts["desired-state/mini.yaml"] = DOCUMENT.replace("stacks", "stakcs")
        if push.flaw is Flaw.NO_DOCUMENT:
            texts["desired-state/other.yaml"] = texts.pop("desired-state/mini.yaml").replace('"mini"', '"other"')
        sha = self.life.source.push(texts | {"serial": str(len(self.life.source.commits))})
        self.pushed[sha] = push

    def revert(self, commits: int) -> None:
        """The content of an earlier commit again, as `git revert` makes it."""
        branch = self.life.source.branch
        if branch:
            self.push(self.pushed[branch[-min(commits, len(branch))]])

    def force_push(self, commits: int, push: Push) -> None:
        """The branch loses its newest commits and gets another one."""
        source = self.life.source
        seen = self.life.cycle.history.seen
        source.rewind(min(commits, len(source.branch)))
        self._before_rewrite = self._up_to(seen[-1]) if seen else set()
        self.push(push)
        self.rewritten = bool(seen) and not source.is_ancestor(seen[-1], source.branch[-1])

    def _up_to(self, revision: str | None) -> set[str]:
        """The commit and all that it descends from."""
        found: set[str] = set()
        while revision is not None:
            found.add(revision)
            revision = self.life.source.parents[revision]
        return found

    def put_back(self) -> None:
        """Whoever rewrote the branch pushes on top of what was there before."""
        source, seen = self.life.source, self.life.cycle.history.seen
        if self.rewritten and seen:
            at: str | None = seen[-1]
            source.branch.clear()
            while at is not None:
                source.branch.insert(0, at)
                at = source.parents[at]
            self.rewritten = False

    def ask(self, verb: str, commits: int = 1, seconds: float | None = None) -> None:
        """An operator's request; `commits`: about the newest commit of the branch, the one before it …"""
        branch = self.life.source.branch
        revision = branch[-min(commits, len(branch))] if verb in ("retry", "accept") else ""
        why = "holidays" if verb == "suspend" else ""
        self.life.ask(verb, revision, why, seconds)

    # -- what the agent does -----------------------------------------------------------------------------------

    def turn(self, crash_at: int | None = None) -> None:
        """One turn of a new process, which is killed on reaching effect `crash_at`."""
        history = self.life.cycle.history
        self.life.start(crash_at if history.unended < UNENDED else None)
        suspended = history.suspended(self.life.machine.clock.now()) and not history.unfinished
        before = self.life.machine.snapshot()
        asked = bool(self.life.requests.left)
        with suppress(Died):
            self.life.turn()
        if suspended and not asked and self.life.cycle.history.suspended(self.life.machine.clock.now()):
            assert self.life.machine.snapshot() == before, "the machine was changed while it was suspended"
        self.life.start()
        self.life.stopping = False
        self.check()

    # -- what befalls it ---------------------------------------------------------------------------------------

    def during(self, action: str, happen: Callable[[], None]) -> None:
        """At the next step `action` of a turn."""
        self.life.during[action] = happen

    def running(self, choice: int) -> str | None:
        """The name of one container that runs."""
        names = sorted(item.name for item in self.life.machine.containers.values() if item.state == "running")
        return names[choice % len(names)] if names else None

    def healthy(self, choice: int) -> str | None:
        """The name of one container that is healthy by itself."""
        names = sorted(item.name for item in self.life.machine.containers.values() if item.health == "healthy")
        return names[choice % len(names)] if names else None

    def meddle(self, choice: int, kind: str) -> None:
        """Somebody does this to a container that runs. What is made by hand is ours only once there is a last good."""
        history = self.life.cycle.history
        settled = history.last_good is not None and not history.unfinished and not self._journal.lost
        if kind in tampering.BY_HAND and not settled:
            return
        if (name := self.running(choice)) is not None:
            tampering.ALL[kind](self.life.machine, self.life.machine.named(name))

    def lose_journal(self) -> None:
        """The file is deleted. What was told stays on the commits; what was bad stays in the refs.

        Which head was accepted last is forgotten, so that a rewritten branch is taken as it is.
        """
        self.life.journal.lines.clear()
        self.life.reporter.journal_lost = True
        self.rewritten = False
        self.life.start()
        self._journal.forget()

    # -- what holds always -------------------------------------------------------------------------------------

    def check(self) -> None:
        machine = self.life.machine
        assert machine.peak <= (BUDGET_MIB - RESERVE_MIB) << 20, "more memory was promised than there is"
        assert not machine.overlaps, machine.overlaps
        names = [item.name for item in machine.containers.values()]
        assert len(names) == len(set(names)), names
        assert self._volumes <= machine.volumes.keys(), "a volume is gone"
        self._volumes = set(machine.volumes)
        self._check_removals()
        self._journal.check(self.life.journal.lines)

    def _check_removals(self) -> None:
        """Nothing is removed while an attempt is open: the verdict comes first."""
        is_open = False
        for effect in self.life.machine.trace:
            is_open = (is_open or effect == "journal started") and effect != "journal ended"
            assert not (is_open and effect.startswith("remove ") and "network" not in effect), effect

    # -- quiet -------------------------------------------------------------------------------------------------

    def quiet(self) -> None:
        """Two turns lead to head or last good; the third and the fourth have nothing to do."""
        life = self.life
        if not life.source.branch:
            return
        life.during.clear()
        life.source.away = life.reporter.away = life.stopping = False
        life.machine.go_away(0.0)
        life.machine.advance(1000.0)
        life.start()
        self.ask("resume")
        turns = []
        for _ in range(2):
            turns.append(life.turn())
            self.check()
        for _ in range(2):
            turns.append(life.turn())
            assert life.effects == 0, (turns, life.machine.trace[-12:])
        self._check_end(turns[-1])

    def _check_end(self, turn: Turn) -> None:
        life = self.life
        wanted = self._wanted(turn)
        if wanted is None and (self._journal.lost or turn.reason is Reason.FILE_MISSING):
            return  # nobody knows (any more) what is to run: what does run is left alone
        if turn.outcome is Outcome.FAILED and "not ours" in turn.message:
            assert any(self._is_theirs(item, wanted) for item in life.machine.containers.values()), turn
            return  # what somebody has brought up keeps a network from being replaced, and the turn says so
        uncounted = {
            item.name
            for item in life.machine.containers.values()
            if item.service == "job" or self._is_theirs(item, wanted)
        }
        running = {name: image for name, image in life.running().items() if name not in uncounted}
        assert running == (wishes.expected(self.pushed[wanted]) if wanted else {}), (turn, wanted)
        assert not [name for name in life.ids() if "standby" in name]
        self._check_told()
        self._check_containers(wanted)

    def _is_theirs(self, container: FakeContainer, wanted: str | None) -> bool:
        """What somebody brought up by hand of a service that the commit does not name is left alone."""
        named = {wish.name for wish in self.pushed[wanted].wishes} if wanted else set()
        return container.host is None and container.service not in named

    def _wanted(self, turn: Turn) -> str | None:
        """The commit whose content must run now; None: nothing of ours may."""
        history = self.life.cycle.history
        rewritten = turn.outcome is Outcome.HELD and turn.reason is Reason.NOT_FAST_FORWARD
        if self._journal.accepted & (set(self.life.source.branch) - self._before_rewrite):
            self.rewritten = False
        assert rewritten == self.rewritten, turn
        head = history.seen[-1]
        assert rewritten or head == self.life.source.branch[-1]
        if self._journal.is_good(head) and not self._must_be_held(head):
            return head
        return history.last_good.revision if history.last_good else None

    def _must_be_held(self, head: str) -> bool:
        """Without this host's document, or with less than half of the services of last good and those that good commits
        of the last day have taken away."""
        history = self.life.cycle.history
        push, good = self.pushed[head], history.last_good
        if head in self._journal.accepted:
            return False
        if push.flaw is Flaw.NO_DOCUMENT:
            return True
        stood = {item.name for item in self._applied(good.revision)} if good else set()
        before = stood | {name for _, name in dropped_lately(history, self.life.machine.clock.now())}
        names = {wish.name for wish in push.wishes}
        return not stood <= names and 2 * len(before - names) > len(before)

    def _applied(self, sha: str) -> tuple[wishes.Wish, ...]:
        push = self.pushed[sha]
        return () if push.flaw is Flaw.NO_DOCUMENT else push.wishes

    def _check_told(self) -> None:
        """Each commit that was head at a poll has its final state on it; one that is held has none yet."""
        history, told = self.life.cycle.history, self.life.reporter.told
        seen = set(history.seen)
        if self._must_be_held(history.seen[-1]) and history.seen[-1] not in history.finals:
            seen.discard(history.seen[-1])
        if self._journal.lost:
            seen -= history.quarantined.keys()  # known to be bad by the refs alone, which do not know why
        assert told.keys() >= seen, seen - told.keys()
        assert self._journal.lost or told.keys() == seen

    def _check_containers(self, wanted: str | None) -> None:
        machine = self.life.machine
        names = wishes.expected(self.pushed[wanted]).keys() if wanted else set()
        if self._journal.lost and not names:
            return  # without the journal nobody knows of stacks that no commit names
        jobs = {"shop-job-1"} if wanted and any(item.name == "job" for item in self._applied(wanted)) else set()
        theirs = {item.name for item in machine.containers.values() if self._is_theirs(item, wanted)}
        if wanted:
            assert set(self.life.ids()) <= names | jobs | theirs, "stray containers"
        sizes = {wish.name: wish.memory << 20 for wish in self._applied(wanted)} if wanted else {}
        tolerated = {spec for spec, _, _ in self.life.cycle.history.tolerated}
        for item in machine.containers.values():
            if item.service == "job" or item.host is None:
                continue  # what completes is as it ended; what somebody has brought up is as it was adopted
            if item.spec in tolerated:
                continue  # somebody has done the same to it again while it was mended
            assert item.memory == sizes.get(item.service, item.memory), f"{item.name} has another limit"
            assert item.state != "paused", f"{item.name} is paused"
            assert item.networks or item.network_mode, f"{item.name} has no network"
            assert not item.facts.get("privileged"), f"{item.name} is privileged"
        policies = {item.restart for item in machine.containers.values() if item.service != "job" and item.host}
        assert not wanted or policies <= {"unless-stopped"}  # what never had a verdict has none yet
        attached = {id for item in machine.containers.values() for id in item.networks.values()}
        assert attached <= {network.id for network in machine.networks.values()}


class _JournalChecks:
    """What no journal may ever say. Remembers what was condemned, also when the journal is lost."""

    def __init__(self, pushed: dict[str, Push]) -> None:
        self._pushed = pushed
        self._condemned: dict[str, set[str]] = {}
        self._finals: set[str] = set()
        self._read = 0
        self.accepted: set[str] = set()
        self.lost = False

    def forget(self) -> None:
        self._read, self.lost = 0, True
        self._finals.clear()
        self.accepted.clear()

    def is_good(self, revision: str) -> bool:
        """A commit without this host's document wants nothing, once an operator has accepted that."""
        push = self._pushed[revision]
        return wishes.is_good(push) or (push.flaw is Flaw.NO_DOCUMENT and revision in self.accepted)

    def check(self, lines: Sequence[Mapping[str, Any]]) -> None:
        for record in lines[self._read :]:
            match record["kind"]:
                case "prepared":
                    assert record["content"] not in self._condemned, "a bad commit was applied twice"
                case "condemned":
                    assert not self.is_good(record["revision"]), "a good commit was condemned"
                    self._condemned.setdefault(record["content"], set()).add(record["revision"])
                case "ended":
                    self._check_end(record)
                case "requested" if record["done"]:
                    self._take(record)
        self._read = len(lines)

    def _check_end(self, record: Mapping[str, Any]) -> None:
        revision = record["revision"]
        if record["final"]:
            assert revision not in self._finals, "a commit has two final states"
            self._finals.add(revision)
            assert record["state"] != "failure" or not self.is_good(revision), "a good commit was told to have failed"
        if record["good"]:
            assert self.is_good(revision), "a bad commit became last good"

    def _take(self, record: Mapping[str, Any]) -> None:
        """What an operator allows is allowed from then on."""
        if record["verb"] == "accept":
            self.accepted.add(record["revision"])
        lifted = set(record["lifted"])
        self._finals -= lifted
        self._condemned = {content: by for content, by in self._condemned.items() if not by & lifted}
