"""Events of a life, as rules from which hypothesis makes lives, and shrinks those that fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition
from hypothesis.stateful import rule as plain_rule

from tests.simulator import rolling, tampering, wishes
from tests.simulator.wishes import Flaw, Push, Wish
from tests.simulator.world import UNENDED, World

SETTINGS = settings(
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
SERVICES = ("db", "cache", "job", "web", "side", "front", "admin", wishes.NEIGHBOUR)
ACTIONS = ("CreateContainer", "StopContainer", "StartContainer", "WaitHealthy", "UpdateContainer", "RemoveContainer")
SWITCHING = ("StopContainer", "StartContainer")
VERSIONS = st.sampled_from([*wishes.GOOD_VERSIONS, *wishes.GOOD_VERSIONS, *wishes.BAD_VERSIONS])
TAMPERINGS = st.sampled_from(sorted(tampering.ALL))
OTHERS = ("process with port", "container with port", "container with name", "guest", "guest with address", "hog")
ORDERS = st.sampled_from(["", "stop-first", "start-first", "start-first"])
DRAINS = st.sampled_from(["", "", "0s", "7s"])
NUMBERS = st.tuples(st.integers(1, 3), st.integers(1, 3))
ROLLS = st.builds(
    rolling.Roll,
    st.sampled_from([*rolling.ALONE, *rolling.ALONE, wishes.DEPENDENT]),
    st.just((1, 1)) | NUMBERS | NUMBERS,
    st.sampled_from([1, 1, 2, 0]),
    DRAINS,
    st.permutations(wishes.GOOD_VERSIONS).map(lambda versions: (versions[0], versions[1])),
    st.sampled_from(["nothing", "nothing", "itself", "a dependent"]),
    st.sampled_from([False, False, True]),
)
KILLS = st.lists(st.integers(1, 40), max_size=UNENDED)
"""Effects at which one agent after the other is killed."""
FLAWS = st.sampled_from([Flaw.NONE] * 12 + list(Flaw)[1:])


@st.composite
def pushes(draw: st.DrawFn, good: bool = False) -> Push:
    chosen = draw(st.sets(st.sampled_from(SERVICES), min_size=2))
    if "side" in chosen:
        chosen |= {"web"}
    holders = sorted(chosen & set(wishes.HOLDERS))
    ports, addresses, volumes = (
        draw(handed_out(holders, things)) for things in (wishes.PORTS, wishes.ADDRESSES, wishes.VOLUMES)
    )
    made = []
    for name in sorted(chosen):
        alone = "side" in chosen or any(name in given for given in (ports, addresses, volumes))
        replicas = draw(st.integers(1, 3)) if name in ("cache", "front", "web") and not alone else 1
        version = draw(st.sampled_from(wishes.GOOD_VERSIONS) if good else VERSIONS)
        memory = draw(st.sampled_from([64, 64, 96]))
        held = ports.get(name, 0), addresses.get(name, 0), volumes.get(name, "")
        order = draw(ORDERS), draw(st.sampled_from([1, 1, 2, 0])), draw(st.sampled_from([False, False, True]))
        made.append(Wish(name, version, replicas, memory, *held, *order, draw(DRAINS)))
    return Push(tuple(made), draw(st.sampled_from([False, False, False, True])), Flaw.NONE if good else draw(FLAWS))


def handed_out(holders: list[str], things: Sequence[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """service → what it has for itself alone; most have nothing."""
    some = st.permutations(holders).map(lambda order: dict(zip(order, things, strict=False)))
    return st.just({}) | some | some.map(lambda given: dict(list(given.items())[:1]))


@st.composite
def behaviours(draw: st.DrawFn) -> dict[str, str]:
    """image → what its containers do: good versions one of the good things, bad ones one of the bad."""
    found = {}
    for name in SERVICES:
        good = wishes.GOOD_JOBS if name == "job" else wishes.GOOD
        bad = wishes.BAD_WITH_PROBE if name in wishes.PROBED else wishes.BAD
        for version in wishes.GOOD_VERSIONS:
            found[f"{name}:{version}"] = draw(st.sampled_from(sorted(good)))
        for version in wishes.BAD_VERSIONS:
            found[f"{name}:{version}"] = draw(st.sampled_from(sorted(wishes.BAD_JOBS if name == "job" else bad)))
    return found


PUSHES = pushes() | pushes(good=True)
"""Half of them good, for much of what may happen needs a machine on which something runs."""


def rule(**strategies: st.SearchStrategy[Any]) -> Callable[[Any], Any]:
    """What happens in the world: whatever was tried in vain before may now be tried again."""

    def decorate(happening: Any) -> Any:
        @wraps(happening)
        def happens(self: Simulator, **drawn: Any) -> None:
            self.world.news += 1
            happening(self, **drawn)

        return plain_rule(**strategies)(happens)  # type: ignore[call-overload]  # each rule draws what it names

    return decorate


class Simulator(RuleBasedStateMachine):
    """One life. After each quiet period, and at the end, the machine is where it must be."""

    world: World
    asks = False
    """Whether `plan` is asked before every turn."""
    tells = False
    """Whether a forge and people are told."""
    enforces = True
    """Whether the engine enforces memory limits at the beginning."""

    @initialize(
        behaviours=behaviours(),
        first=PUSHES | pushes(good=True),
        runs=st.booleans(),
        declares=st.sampled_from([False, False, False, True]),
    )
    def begin(self, behaviours: dict[str, str], first: Push, runs: bool, declares: bool) -> None:
        self.world = World(behaviours, self.asks, self.tells, declares)
        self.world.life.machine.enforces = self.enforces
        self.world.push(first)
        if runs:
            self.world.turn()

    # -- people ------------------------------------------------------------------------------------------------

    @rule(push=PUSHES)
    def push(self, push: Push) -> None:
        self.world.push(push)

    @rule(
        thing=st.sampled_from(wishes.CHANGES),
        order=st.permutations(wishes.HOLDERS),
        other=st.sampled_from(["nobody", "nobody", *OTHERS]),
        cut=st.sampled_from(["", "", *SWITCHING]),
        turns=st.integers(0, 3),
    )
    def change(self, thing: str, order: list[str], other: str, cut: str, turns: int) -> None:
        """The newest commit with something in other hands, which `other` takes first where it is free. `cut`: the step
        at which its first rollout is cut off."""
        self.world.others(other)
        self.world.push(wishes.changed(self.world.newest(), thing, order))
        if cut:
            self.world.turn_that_is_cut_off(cut)
        for _ in range(turns):
            self.world.turn()

    @rule(cut=st.sampled_from(SWITCHING))
    def scale_twice(self, cut: str) -> None:
        """Replicas with volumes of their own come and go, and the second time the rollout is cut off."""
        self.world.push(wishes.changed(self.world.newest(), "replicas", ()))
        self.world.turn()
        self.world.push(wishes.changed(self.world.newest(), "replicas", ()))
        self.world.turn_that_is_cut_off(cut)
        self.world.turn()

    @rule(rolls=st.lists(st.tuples(ROLLS, KILLS), min_size=1, max_size=3))
    def roll(self, rolls: list[tuple[rolling.Roll, list[int]]]) -> None:
        """Replace services that have to serve all the time."""
        for roll, kills in rolls:
            self.world.roll(roll, kills)

    @rule(order=st.permutations(wishes.HOLDERS), turns=st.integers(1, 2))
    def rename_volumes(self, order: list[str], turns: int) -> None:
        """A service has data, and the next commit has its volume under another key."""
        self.world.push(wishes.changed(self.world.newest(), "volume", order))
        self.world.turn()
        self.world.rename_volumes()
        for _ in range(turns):
            self.world.turn()

    @rule(commits=st.integers(1, 3))
    def revert(self, commits: int) -> None:
        self.world.revert(commits)

    @rule(commits=st.integers(1, 3), push=PUSHES)
    def force_push(self, commits: int, push: Push) -> None:
        self.world.force_push(commits, push)

    @precondition(lambda self: self.world.rewritten)
    @rule()
    def put_back(self) -> None:
        self.world.put_back()

    # -- operators ---------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([None, 30.0, 5000.0]))
    def suspend(self, seconds: float | None) -> None:
        self.world.ask("suspend", seconds=seconds)

    @rule()
    def resume(self) -> None:
        self.world.ask("resume")

    @rule(commits=st.integers(1, 3))
    def retry(self, commits: int) -> None:
        self.world.ask("retry", commits)

    @rule(commits=st.integers(1, 2))
    def accept(self, commits: int) -> None:
        self.world.ask("accept", commits)

    # -- the agent ---------------------------------------------------------------------------------------------

    @plain_rule()
    def turn(self) -> None:
        self.world.turn()

    @plain_rule()
    def turns(self) -> None:
        """The world stands still meanwhile."""
        for _ in range(2):
            self.world.turn()

    @rule(effect=st.integers(1, 70))
    def turn_that_is_killed(self, effect: int) -> None:
        self.world.turn(effect)

    @plain_rule()
    def quiet(self) -> None:
        self.world.quiet()

    # -- the world ---------------------------------------------------------------------------------------------

    @rule(action=st.sampled_from(ACTIONS), seconds=st.sampled_from([2.0, 15.0, 200.0]))
    def engine_goes_away(self, action: str, seconds: float) -> None:
        self.world.during(action, lambda: self.world.life.machine.go_away(seconds))

    @rule(action=st.sampled_from(ACTIONS))
    def event_stream_breaks(self, action: str) -> None:
        self.world.during(action, self.world.life.machine.break_streams)

    @rule(action=st.sampled_from(ACTIONS))
    def is_asked_to_end(self, action: str) -> None:
        self.world.during(action, lambda: setattr(self.world.life, "stopping", True))

    @rule(action=st.sampled_from(ACTIONS), push=PUSHES)
    def push_during_a_turn(self, action: str, push: Push) -> None:
        self.world.during(action, lambda: self.world.push(push))

    @rule(away=st.booleans())
    def remote(self, away: bool) -> None:
        self.world.life.source.away = away

    @rule(away=st.booleans())
    def notes(self, away: bool) -> None:
        self.world.life.reporter.away = away

    @plain_rule(seconds=st.sampled_from([0.1, 3.0, 60.0, 4000.0, 1e6]))
    def time_passes(self, seconds: float) -> None:
        self.world.life.machine.advance(seconds)

    @rule()
    def journal_is_lost(self) -> None:
        self.world.lose_journal()

    # -- others on the machine ----------------------------------------------------------------------------------

    @rule(other=st.sampled_from(OTHERS))
    def somebody_comes(self, other: str) -> None:
        self.world.others(other)

    @rule()
    def all_others_go(self) -> None:
        self.world.others_go()

    # -- containers suffer -------------------------------------------------------------------------------------

    @rule(choice=st.integers(0, 9))
    def a_container_vanishes(self, choice: int) -> None:
        if (name := self.world.running(choice)) is not None:
            self.world.life.machine.vanishes(name)

    @rule(choice=st.integers(0, 9))
    def a_container_exits(self, choice: int) -> None:
        if (name := self.world.running(choice)) is not None:
            self.world.life.machine.exits(name, 1)

    @rule(choice=st.integers(0, 9))
    def a_container_blinks(self, choice: int) -> None:
        if (name := self.world.healthy(choice)) is not None:
            self.world.life.machine.turns(name, "unhealthy")
            self.world.life.machine.turns(name, "healthy")

    @rule(choice=st.integers(0, 9), kind=TAMPERINGS)
    def somebody_meddles(self, choice: int, kind: str) -> None:
        self.world.change_by_hand(choice, kind)

    @rule(action=st.sampled_from(ACTIONS), choice=st.integers(0, 9), kind=TAMPERINGS)
    def somebody_meddles_during_a_turn(self, action: str, choice: int, kind: str) -> None:
        self.world.during(action, lambda: self.world.change_by_hand(choice, kind))

    @rule(seconds=st.sampled_from([5.0, 90.0]))
    def engine_restarts(self, seconds: float) -> None:
        self.world.life.machine.restart_engine(seconds)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.quiet()


class Asking(Simulator):
    """Such a life, in which every turn has to agree with what `plan` has said before it."""

    asks = True


class Reporting(Simulator):
    """Such a life, in which a forge and people are told over a network that fails."""

    tells = True

    @rule(how=st.sampled_from(["flaky", "flaky", "away", "good"]), seed=st.integers(0, 99))
    def network(self, how: str, seed: int) -> None:
        assert self.world.telling is not None
        self.world.telling.network.how = how
        self.world.telling.network.chance.seed(seed)

    @rule(effect=st.integers(1, 24))
    def a_delivery_dies(self, effect: int) -> None:
        """At the next turn, when it reaches this effect of its deliveries."""
        self.world.dies_telling = effect
        self.world.turn()


class Unlimited(Asking):
    """Such a life on an engine that does not enforce memory limits, until somebody boots it with them, or without."""

    enforces = False

    @rule(enforces=st.sampled_from([False, False, True]))
    def boots(self, enforces: bool) -> None:
        self.world.life.machine.enforces = enforces
