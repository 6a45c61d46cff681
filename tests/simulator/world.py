"""One simulated life: what people and the environment do to a machine, and what must hold at every moment.

The product runs unchanged on the machine in memory. The results are judged by `wishes`, which knows only which commits
are good.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from reconciler.decide.hold.shrinking import dropped_lately
from reconciler.loop.turn import Turn
from reconciler.model.documents import Grant
from reconciler.model.observed import is_anonymous
from reconciler.model.outcome import Intent, Outcome, Reason
from reconciler.model.plan import Plan
from tests.fakes.containers import FakeContainer
from tests.fakes.life import Life, document
from tests.fakes.machine import Died
from tests.simulator import rolling, tampering, wishes
from tests.simulator.foretold import Foretold
from tests.simulator.telling import Telling
from tests.simulator.wishes import Flaw, Push

BUDGET_MIB, RESERVE_MIB = 2048, 128
LIMIT_MIB = BUDGET_MIB - RESERVE_MIB
UNENDED = 2
"""So many kills in a row are played; after the third the agent asks a person, as it should."""
MICROSECONDS = len("2026-01-01T00:00:00.000000")
DOCUMENT = document(budget=f"{BUDGET_MIB}MiB")
GRANTED = (
    Grant(policy="external-network", stack="blog", service="*", reason="the network of the proxy"),
    Grant(policy="network-subnet", stack="shop", service="*", reason="some have addresses", values=(wishes.SUBNET,)),
)


class World:
    """`behaviours`: image → the name of what its containers do. `asks`: `plan` is asked before every turn. `tells`: a
    forge and people are told. `declares`: images of db make an empty volume where its data lie, unless the commit
    mounts something there."""

    def __init__(
        self, behaviours: dict[str, str], asks: bool = False, tells: bool = False, declares: bool = False
    ) -> None:
        self.life = Life(grants=GRANTED)
        self.life.document = DOCUMENT
        for image, name in behaviours.items():
            self.life.behave(image, wishes.ALL[name])
            if image.startswith("cache"):
                self.life.machine.image_volumes[f"sha256:{image}"] = ("/cache",)
            if declares and image.startswith("db"):
                self.life.machine.image_volumes[f"sha256:{image}"] = ("/data",)
        self.pushed: dict[str, Push] = {}
        self.rewritten = False
        self._before_rewrite: set[str] = set()
        self._volumes: set[str] = set()
        self.news = 0
        self._outages: set[tuple[str | None, int]] = set()
        self._data: dict[tuple[str, str], str] = {}
        self._filled: set[str] = set()
        self._checked: set[str] = set()
        self._floor: dict[tuple[str, str], int] = {}
        self._floor_since = 0
        self._floor_of = ""
        self._tried: set[str] = set()
        self._watch: rolling.Watch | None = None
        self.life.planned = self._note_plan
        self.life.machine.before_stop = self._check_stop
        self._declares = declares
        self._renamed = 0
        self._journal = _JournalChecks(self.pushed)
        self._traced = 0
        self._asks = asks
        self.telling = Telling(self.life) if tells else None
        self.dies_telling: int | None = None

    # -- what people do ----------------------------------------------------------------------------------------

    def push(self, push: Push) -> None:
        own = _document(push)
        texts = {"desired-state/mini.yaml": own, "shop.yaml": json.dumps(wishes.model(push))}
        if wishes.has_neighbour(push):
            texts["blog.yaml"] = json.dumps(wishes.neighbour(push))
        if push.flaw is Flaw.INVALID:
            texts["desired-state/mini.yaml"] = own.replace("stacks", "stakcs")
        if push.flaw is Flaw.NO_DOCUMENT:
            texts["desired-state/other.yaml"] = texts.pop("desired-state/mini.yaml").replace('"mini"', '"other"')
        self.life.machine.exclusive |= {f"shop_{wish.volume}" for wish in push.wishes if wish.volume}
        sha = self.life.source.push(texts | {"serial": str(len(self.life.source.commits))})
        self.pushed[sha] = push

    def newest(self) -> Push:
        branch = self.life.source.branch
        return self.pushed[branch[-1]] if branch else next(iter(self.pushed.values()))

    def rename_volumes(self) -> None:
        """The newest commit with its data under keys that no commit had before."""
        self._renamed += 1
        self.push(wishes.renamed(self.newest(), f"-{self._renamed}"))

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

    def roll(self, roll: rolling.Roll, kills: Sequence[int]) -> None:
        """Replace a service, if the machine first reaches the state of the commit before. `kills`: effects at which the
        agent is killed."""
        before = rolling.before(self.newest(), roll)
        self.push(before)
        self.life.during.clear()
        self.turn()
        if not self._runs(before):
            self.quiet()
        if not self._runs(before) or self.life.machine.foreign:
            return
        after = rolling.after(before, roll)
        if roll.tight:
            before, after = rolling.tight(before, after), rolling.tight(after, before)
            self.push(before)
            self.turn()
        self.push(after)
        self._watch = rolling.Watch.over(roll, after, self.life.machine, LIMIT_MIB)
        turn = next((turn for kill in [*kills, None] if (turn := self.turn(kill)) is not None), None)
        self._watch = None
        if turn is not None and turn.outcome in (Outcome.SUCCEEDED, Outcome.ROLLED_BACK, Outcome.REJECTED):
            assert self._runs(after if wishes.is_good(after) else before), (turn, self.life.running())
        if roll.tight:
            self.push(replace(after, budget=0))
            self.turn()

    def _runs(self, push: Push) -> bool:
        """Whether the machine runs what this good commit wants, and nothing else."""
        history, machine = self.life.cycle.history, self.life.machine
        good = self.pushed[history.last_good.revision] if history.last_good else None
        running = [item for item in machine.containers.values() if item.active and item.service != "job"]
        sizes = {wish.name: wish.memory << 20 for wish in push.wishes}
        return (
            good == push
            and not history.unfinished
            and {item.name: item.image.removeprefix("sha256:") for item in running} == wishes.expected(push)
            and all(item.memory == sizes[item.service] for item in running)
            and all(machine.serves(item) or item.service == "side" for item in running)
        )

    def ask(self, verb: str, commits: int = 1, seconds: float | None = None) -> None:
        """An operator's request; `commits`: about the newest commit of the branch, the one before it …"""
        branch = self.life.source.branch
        revision = branch[-min(commits, len(branch))] if verb in ("retry", "accept") else ""
        why = "holidays" if verb == "suspend" else ""
        self.life.ask(verb, revision, why, seconds)

    # -- what the agent does -----------------------------------------------------------------------------------

    def turn(self, crash_at: int | None = None) -> Turn | None:
        """One turn of a new process, which is killed on reaching effect `crash_at`. None: it was killed."""
        history = self.life.cycle.history
        self.life.start(crash_at if history.unended < UNENDED else None)
        if self.telling is not None:
            self.telling.start(self.dies_telling if history.unended < UNENDED else None)
            self.dies_telling = None
        suspended = history.suspended(self.life.machine.clock.now()) and not history.unfinished
        before = self.life.machine.snapshot()
        asked = bool(self.life.requests.left)
        head = next(reversed(self.life.source.branch), None)
        held = head if head is not None and not asked and self._drops_services(head) else None
        good = {item.id[:12] for item in self.life.machine.containers.values() if _is_good(item)}
        begun, news, records = len(self.life.machine.trace), self.news, len(self.life.journal.lines)
        self.life.machine.peak, turn = 0, None
        with suppress(Died):
            turn = self._take_turn()
            self._note_outage(turn, news, good, self.life.machine.trace[begun:])
            advanced = turn.outcome is Outcome.SUCCEEDED and turn.intent is Intent.ADVANCE and self.news == news
            if advanced and any(effect.startswith("start ") for effect in self.life.machine.trace[begun:]):
                self._check_memory()
            if self.telling is not None:
                self.telling.after_turn()
        if suspended and not asked and self.life.cycle.history.suspended(self.life.machine.clock.now()):
            assert self.life.machine.snapshot() == before, "the machine was changed while it was suspended"
        started = [item for item in self.life.journal.lines[records:] if item["kind"] == "started"]
        tried = [item["revision"] for item in started if item["intent"] == Intent.ADVANCE]
        assert held not in tried, "a commit was tried that a person has to accept"
        assert self.life.machine.enforces or not tried, "a commit was tried where nothing enforces its limits"
        self.life.start()
        self.life.stopping = False
        self.check()
        return turn

    def turn_that_is_cut_off(self, action: str) -> None:
        """The engine goes away for a moment before the first step `action`."""
        self.during(action, lambda: self.life.machine.go_away(1.0))
        self.turn()
        self.life.during.pop(action, None)
        self.life.machine.advance(2.0)

    def _take_turn(self) -> Turn:
        """As `plan` has said, where it was asked."""
        if not self._asks:
            return self.life.turn()
        foretold = Foretold(self.life)
        try:
            turn = self.life.turn()
        except Died:
            foretold.check(None)
            raise
        foretold.check(turn)
        return turn

    # -- what befalls it ---------------------------------------------------------------------------------------

    def during(self, action: str, happen: Callable[[], None]) -> None:
        """At the next step `action` of a turn."""

        def happens() -> None:
            self.news += 1
            happen()

        self.life.during[action] = happens

    def running(self, choice: int) -> str | None:
        """The name of one container that runs."""
        names = sorted(item.name for item in self.life.machine.containers.values() if item.state == "running")
        return names[choice % len(names)] if names else None

    def healthy(self, choice: int) -> str | None:
        """The name of one container that is healthy by itself."""
        names = sorted(item.name for item in self.life.machine.containers.values() if item.health == "healthy")
        return names[choice % len(names)] if names else None

    def change_by_hand(self, choice: int, kind: str) -> None:
        """Somebody does this to a container that runs. What is made by hand is ours only once there is a last good.

        Nothing happens after `take_memory`: more memory in use than there is would not be the agent's doing.
        """
        if "hog" in self.life.machine.foreign:
            return
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

    def others(self, who: str) -> None:
        """Somebody who is none of ours takes something, where nobody has it."""
        match who:
            case "process with port" | "container with port":
                self.take_port(wishes.FIRST["port"], process=who.startswith("process"))
            case "container with name":
                self.take_name("the-admin")
            case "guest" | "guest with address":
                self.enter(wishes.FIRST["address"] if "address" in who else 0)
            case "hog":
                self.take_memory()

    def take_port(self, port: int, process: bool) -> None:
        """Somebody else publishes it, where nobody has it."""
        machine, place = self.life.machine, ("0.0.0.0", port, "tcp")
        ours = [taken for item in machine.containers.values() if item.active for _, taken, _ in item.ports]
        theirs = [taken for item in machine.foreign.values() for _, taken, _ in item.ports]
        if port in (*ours, *theirs) or place in machine.processes:
            return
        if process:
            machine.processes[place] = "nginx"
        else:
            machine.add_foreign(f"squatter-{port}", 0, [place])

    def take_name(self, name: str) -> None:
        """Somebody else has a container of this name, where nobody has it."""
        machine = self.life.machine
        if name not in machine.foreign and all(item.name != name for item in machine.containers.values()):
            machine.add_foreign(name, 0)

    def enter(self, address: int) -> None:
        """Somebody else's container in the stack's network. `address`: 0 for any; taken by nobody."""
        machine, wanted = self.life.machine, f"172.30.0.{address}" if address else ""
        ours = {item.addresses.get("shop_default") for item in machine.containers.values() if item.active}
        if "shop_default" in machine.networks and "guest" not in machine.foreign and wanted not in ours:
            machine.add_foreign("guest", 0)
            machine.enters("guest", "shop_default", wanted)

    def take_memory(self) -> None:
        """Somebody else's container gets all the memory that is left. A rollback and a repair may still take more, so
        only commits are judged until it is gone."""
        machine = self.life.machine
        left = (LIMIT_MIB << 20) - machine.running_memory()
        if "hog" not in machine.foreign and left > 0:
            machine.add_foreign("hog", left)

    def others_go(self) -> None:
        machine = self.life.machine
        machine.processes.clear()
        for name in list(machine.foreign):
            machine.forget_foreign(name)
        machine.peak = 0

    # -- what holds at every stop ------------------------------------------------------------------------------

    def _note_plan(self, plan: Plan) -> None:
        """How many containers serve of each service that is to be replaced without downtime; no more than the plan's
        target asks for."""
        kept = {(item.stack, item.service) for item in plan.downtime if item.order == "start-first"}
        target = self.pushed.get(plan.revision)
        asked = {wish.name: wish.replicas for wish in (wishes.applied(target) if target else ())}
        # A rollout that was cut off goes on with the bound that it began with: more may serve while it switches.
        begun = self._floor if (self._floor_of, self._floor_since) == (plan.revision, self.news) else {}
        serving = {key: self.life.machine.serving(key) for key in kept}
        self._floor = {key: min(serving[key], asked.get(key[1], 0), begun.get(key, serving[key])) for key in kept}
        self._floor_of, self._floor_since = plan.revision, self.news

    def _check_stop(self, container: FakeContainer) -> None:
        """What is replaced start-first never loses a container that serves before another one serves in its place,
        unless the world takes one away meanwhile."""
        key, machine = (container.stack, container.service), self.life.machine
        if container.service.endswith(".trial"):
            self._tried.add(container.id[:12])
        if self._watch is not None:
            self._watch.check(container, machine)
        if key not in self._floor or self.news != self._floor_since or not machine.serves(container):
            return
        others = machine.serving(key) + rolling.fallen(key, machine) - 1
        assert others >= self._floor[key], f"{container.name} stops, and only {others} serve"

    # -- what holds always -------------------------------------------------------------------------------------

    def check(self) -> None:
        machine = self.life.machine
        if "hog" not in machine.foreign:
            self._check_memory()
        assert not machine.overlaps, machine.overlaps
        names = [item.name for item in machine.containers.values()]
        assert len(names) == len(set(names)), names
        assert self._volumes <= machine.volumes.keys(), "a volume is gone"
        self._volumes = set(machine.volumes)
        self._check_removals()
        self._journal.check(self.life.journal.lines)
        self._check_data()

    def _check_memory(self) -> None:
        assert self.life.machine.peak <= LIMIT_MIB << 20, "more memory was promised than there is"

    def _check_removals(self) -> None:
        """Nothing is removed while an attempt is open, except what was tried: the verdict comes first."""
        is_open = False
        for effect in self.life.machine.trace:
            is_open = (is_open or effect == "journal started") and effect != "journal ended"
            removed = effect.startswith("remove ") and "network" not in effect
            assert not (is_open and removed and effect.split()[1] not in self._tried), effect

    def _note_outage(self, turn: Turn, news: int, good: set[str], trace: Sequence[str]) -> None:
        """What ran well is not stopped once more for a commit that the same world has kept from working before. Where
        nothing was tried, it is last good that was corrected."""
        stopped = {words.split()[1] for words in trace if words.startswith("stop ")} & good
        if turn.outcome is Outcome.FAILED and turn.attempt is not None and stopped:
            outage = turn.revision, news
            assert outage not in self._outages, f"an outage is repeated without any news: {turn}"
            self._outages.add(outage)

    def _check_data(self) -> None:
        """No service of a good commit runs on an empty volume while nobody uses the full one that it had. A good commit
        that mounts nothing there has taken the data from the service. So has one that was accepted, and its data may
        stay with it when a newer one is applied."""
        history, machine = self.life.cycle.history, self.life.machine
        mounts = {
            (item.stack, item.service): mount.source
            for item in machine.containers.values() if item.state == "running"
            for mount in item.mounts if mount.target == "/data"
        }  # fmt: skip
        good = history.last_good.revision if history.last_good else None
        since = self._up_to(good if good in self.pushed else None) - self._checked
        consented = good in self._journal.accepted or bool(since & self._journal.accepted)
        settled = good is not None and not history.unfinished and not consented
        for service, source in mounts.items() if settled else ():
            before = self._data.get(service, source)
            vanished = source not in self._filled and source != before and before not in mounts.values()
            assert not vanished, f"{service} runs on {source}, and its data are in {before}"
        if settled or consented:
            self._data |= {service: source for service, source in mounts.items() if not is_anonymous(source)}
        if settled and good in self.pushed:
            holders = {("shop", wish.name) for wish in wishes.applied(self.pushed[good]) if wish.volume}
            self._data = {service: source for service, source in self._data.items() if service in holders}
        self._filled |= set(mounts.values())
        self._checked |= since if not history.unfinished else set()

    # -- quiet -------------------------------------------------------------------------------------------------

    def quiet(self) -> None:
        """Two turns lead to head or last good; the third and the fourth have nothing to do."""
        life = self.life
        if not life.source.branch:
            return
        life.during.clear()
        life.source.away = life.reporter.away = life.stopping = False
        self.others_go()
        life.machine.enforces = True
        life.machine.go_away(0.0)
        life.machine.advance(1000.0)
        life.start()
        if self.telling is not None:
            self.telling.start()
        self.ask("resume")
        turns = []
        for _ in range(2):
            turns.append(self._take_turn())
            self.check()
        for _ in range(2):
            turns.append(self._take_turn())
            assert life.effects == 0, (turns, life.machine.trace[-12:])
        self._check_end(turns[-1])
        if self.telling is not None:
            self.telling.quiet()

    def _check_end(self, turn: Turn) -> None:
        life = self.life
        wanted = self._wanted(turn)
        if wanted is None and (self._journal.lost or turn.reason in (Reason.FILE_MISSING, Reason.CONSENT_MISSING)):
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
        """What somebody brought up by hand of a service that the commit does not name is left alone. Without the
        journal nobody knows of a stack that it does not name."""
        named = {wish.name for wish in self.pushed[wanted].wishes} if wanted else set()
        unknown = container.host is None or (self._journal.lost and container.stack != "shop")
        return unknown and container.service not in named

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
        """A person has to accept it first."""
        if self.pushed[head].flaw in (Flaw.NONE, Flaw.NO_IMAGE) and self._takes_data_away(head):
            return True  # before anybody asks for the image, and also where something else was accepted before
        return self._drops_services(head)

    def _drops_services(self, head: str) -> bool:
        """Without this host's document, or with less than half of the services of last good and those that good commits
        of the last day have taken away."""
        history = self.life.cycle.history
        push, good = self.pushed[head], history.last_good
        if head in self._journal.accepted:
            return False
        if push.flaw is Flaw.NO_DOCUMENT:
            return True
        stood = {item.name for item in wishes.applied(self.pushed[good.revision])} if good else set()
        before = stood | {name for _, name in dropped_lately(history, self.life.machine.clock.now())}
        names = {wish.name for wish in push.wishes}
        return not stood <= names and 2 * len(before - names) > len(before)

    def _takes_data_away(self, head: str) -> bool:
        """It is held for a volume that some service of it would leave behind."""
        history = self.life.cycle.history
        if not history.asked.get(head, frozenset()) - history.consented:
            return False
        assert self._declares or any(wish.volume for wish in self.pushed[head].wishes)
        return True

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
        asked = {item.name: item for item in wishes.applied(self.pushed[wanted])} if wanted else {}
        jobs = {"shop-job-1"} if "job" in asked else set()
        theirs = {item.name for item in machine.containers.values() if self._is_theirs(item, wanted)}
        if wanted:
            assert set(self.life.ids()) <= names | jobs | theirs, "stray containers"
        sizes = {name: wish.memory << 20 for name, wish in asked.items()}
        tolerated = {spec for spec, _, _ in self.life.cycle.history.tolerated}
        for item in machine.containers.values():
            if item.service == "job" or item.host is None:
                continue  # what completes is as it ended; what somebody has brought up is as it was adopted
            if item.spec in tolerated:
                continue  # somebody has done the same to it again while it was corrected
            assert item.memory == sizes.get(item.service, item.memory), f"{item.name} has another limit"
            assert item.state != "paused", f"{item.name} is paused"
            assert item.networks or item.network_mode, f"{item.name} has no network"
            assert all(item.service in item.aliases[name] for name in item.networks), f"{item.name} has no alias"
            assert not item.facts.get("privileged"), f"{item.name} is privileged"
        for item in machine.containers.values():
            if item.host is None:
                continue  # what somebody has brought up for a service that is gone is nobody's to start again
            for owner in (machine.containers[id] for id in item.namespaces if item.active):
                assert owner.started_at[:MICROSECONDS] <= item.started_at[:MICROSECONDS], f"{item.name} is cut off"
        # What never had a verdict has none yet. Without the journal that is so, too, in a stack that no commit names.
        policies = {
            item.restart
            for item in machine.containers.values()
            if item.service != "job" and item.host and item.name not in theirs and item.spec not in tolerated
        }
        assert not wanted or policies <= {"unless-stopped"}
        attached = {id for item in machine.containers.values() for id in item.networks.values()}
        assert attached <= {network.id for network in machine.networks.values()}


def _document(push: Push) -> str:
    stacks = ("shop", "blog") if wishes.has_neighbour(push) else ("shop",)
    if not push.budget:
        return document(stacks=stacks, budget=f"{BUDGET_MIB}MiB")
    return document(stacks=stacks, budget=f"{push.budget + RESERVE_MIB}MiB").replace('"80%"', '"100%"')


def _is_good(container: FakeContainer) -> bool:
    return container.state == "running" and container.health in ("healthy", "none")


class _JournalChecks:
    """What no journal may ever say. Remembers what was quarantined, also when the journal is lost."""

    def __init__(self, pushed: dict[str, Push]) -> None:
        self._pushed = pushed
        self._quarantined: dict[str, set[str]] = {}
        self._finals: set[str] = set()
        self._read = 0
        self.accepted: set[str] = set()
        self.lost = False

    def forget(self) -> None:
        self._read, self.lost = 0, True
        self._finals.clear()
        self.accepted.clear()

    def is_good(self, revision: str) -> bool:
        """A missing host document means "no stacks" once an operator accepted the commit."""
        push = self._pushed[revision]
        return wishes.is_good(push) or (push.flaw is Flaw.NO_DOCUMENT and revision in self.accepted)

    def check(self, lines: Sequence[Mapping[str, Any]]) -> None:
        for record in lines[self._read :]:
            match record["kind"]:
                case "prepared":
                    assert record["content"] not in self._quarantined, "a bad commit was applied twice"
                case "condemned":
                    assert not self.is_good(record["revision"]), "a good commit was quarantined"
                    self._quarantined.setdefault(record["content"], set()).add(record["revision"])
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
        self._quarantined = {content: by for content, by in self._quarantined.items() if not by & lifted}
