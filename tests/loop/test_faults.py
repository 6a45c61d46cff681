"""At every effect of a rollout, and of its rollback, a fault happens; without further faults, every life ends in the
same state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from reconciler.effects import Effects
from reconciler.errors import Transient
from reconciler.model.outcome import Outcome, Reason
from tests.fakes.behaviour import STEADY, crashing, healthy
from tests.fakes.life import Life, service
from tests.loop.test_crashes import ODD_FLOWS, odd, odd_end, start_odd


class _At(Effects):
    """Something happens just before effect `number`."""

    def __init__(self, number: int, happens: Callable[[str], None]) -> None:
        super().__init__()
        self._number, self._happens = number, happens

    def point(self, name: str) -> None:
        super().point(name)
        if self.count == self._number:
            self._happens(name)


def engine_away(life: Life, effect: str) -> None:
    life.machine.go_away(30.0)


def disk_full(life: Life, effect: str) -> None:
    if not effect.startswith("note"):
        raise Transient(Reason.DISK_FAILED, "no space left on device")


def asked_to_end(life: Life, effect: str) -> None:
    life.stopping = True


def somebody_removes_a_container(life: Life, effect: str) -> None:
    names = sorted(life.ids())
    life.machine.vanishes(names[len(effect) % len(names)])


FAULTS = (engine_away, disk_full, asked_to_end)


def lived(flow: Callable[[Life], None], number: int, fault: Callable[[Life, str], None]) -> Life | None:
    """A life with this fault at this effect, and three turns of the next process without faults. None: it has fewer
    effects."""
    life = start_odd()
    life.start()
    life.machine.effects = _At(number, lambda effect: fault(life, effect))
    flow(life)
    life.turn()
    if life.machine.effects.count < number:
        return None
    life.stopping = False
    life.machine.advance(60.0)
    life.start()
    for _ in range(3):
        life.turn()
    return life


def check(life: Life, number: int) -> None:
    life.turn()
    assert life.effects == 0, number
    finals = [record["revision"] for record in life.journal.lines if record["kind"] == "ended" and record["final"]]
    assert sorted(finals) == sorted({*finals} & {*life.reporter.told}), number
    assert set(finals) == set(life.source.branch), number


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ODD_FLOWS)
def test_a_fault_at_any_effect_leads_to_the_same_end(name: str, fault: Callable[[Life, str], None]) -> None:
    quiet = start_odd()
    ODD_FLOWS[name](quiet)
    quiet.settle()
    number = 0
    while (life := lived(ODD_FLOWS[name], number := number + 1, fault)) is not None:
        assert odd_end(life) == odd_end(quiet), number
        check(life, number)
    assert number > 10


@pytest.mark.parametrize("name", ODD_FLOWS)
def test_a_container_removed_at_any_effect_comes_back(name: str) -> None:
    quiet = start_odd()
    ODD_FLOWS[name](quiet)
    quiet.settle()
    number = 0
    while (life := lived(ODD_FLOWS[name], number := number + 1, somebody_removes_a_container)) is not None:
        assert life.running() == quiet.running(), number
        check(life, number)
    assert number > 10


@pytest.mark.parametrize("name", ODD_FLOWS)
def test_a_newer_commit_at_any_effect_is_what_runs_in_the_end(name: str) -> None:
    def newer(life: Life, effect: str) -> None:
        life.push(**odd("3"))

    number = 0
    while (life := lived(ODD_FLOWS[name], number := number + 1, newer)) is not None:
        assert set(life.running().values()) == {"app:3", "side:1", "web:3", "old:1"}, number
        check(life, number)
    assert number > 10


class FullFrom(Effects):
    """The disk is full from the effect on whose name begins so, until `freed`."""

    def __init__(self, beginning: str) -> None:
        super().__init__()
        self._beginning, self.full, self.freed = beginning, False, False

    def point(self, name: str) -> None:
        super().point(name)
        self.full |= name.startswith(self._beginning)
        if self.full and not self.freed and name.startswith(("journal", "tree", "rendered")):
            raise Transient(Reason.DISK_FAILED, "no space left on device")


def test_a_disk_that_is_full_at_the_verdict_does_not_keep_the_service_down() -> None:
    life = Life()
    life.push(web=service("web:1"))
    life.turn()
    life.behave("web:2", crashing(0.5))
    bad = life.push(web=service("web:2"))
    life.machine.effects = disk = FullFrom("journal condemned")
    assert life.turn().reason is Reason.DISK_FAILED
    assert life.running() == {"shop-web-1": "web:1"}, "back, although it could not be written down"
    started = [name for name in life.machine.trace if name.startswith("start ")]
    assert life.turn().reason is Reason.DISK_FAILED
    assert [name for name in life.machine.trace if name.startswith("start ")] == started, "it is not tried again"
    disk.freed = True
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.reporter.told[bad][0] == "failure"
    assert [name for name in life.machine.trace if name.startswith("start ")] == started
    assert life.settle().reason is Reason.REVISION_QUARANTINED


def test_pins_are_written_again_where_the_mirror_was_lost_first_and_the_journal_then() -> None:
    life = Life()
    life.push(web=service("web:1"))
    life.turn()
    life.behave("web:2", crashing(0.5))
    life.push(web=service("web:2"))
    assert life.turn().outcome is Outcome.ROLLED_BACK
    life.source.pinned.clear()
    life.turn()
    life.journal.lines.clear()
    life.store.states.clear()
    life.start()
    started = [name for name in life.machine.trace if name.startswith("start ")]
    for _ in range(3):
        life.turn()
    assert [name for name in life.machine.trace if name.startswith("start ")] == started
    assert life.running() == {"shop-web-1": "web:1"}


@pytest.mark.parametrize("record", ["started", "prepared", "condemned", "ended", "closed"])
def test_a_journal_that_is_deleted_under_a_running_agent_costs_no_verdict(record: str) -> None:
    life = Life()
    life.push(web=service("web:1"))
    life.turn()
    life.behave("web:2", crashing(0.5))
    life.push(web=service("web:2"))

    def lost(effect: str) -> None:
        if effect == f"journal {record}":
            life.journal.lines.clear()

    life.machine.effects = _Each(lost)
    life.turn()
    life.machine.effects = Effects()
    for _ in range(3):
        life.turn()
    assert life.effects == 0
    assert life.running() == {"shop-web-1": "web:1"}
    life.start()
    life.turn()
    assert life.running() == {"shop-web-1": "web:1"}


class _Each(Effects):
    def __init__(self, happens: Callable[[str], None]) -> None:
        super().__init__()
        self._happens = happens

    def point(self, name: str) -> None:
        super().point(name)
        self._happens(name)


def test_a_journal_that_was_cut_anywhere_brings_back_no_bad_commit_and_quarantines_no_good_one() -> None:
    """As after restoring a disk from a backup: the newest records are missing."""
    number, shorter = 0, True
    while shorter:
        number += 1
        life = Life()
        life.push(web=service("web:1"), db=service("db:1"))
        life.turn()
        life.behave("web:2", crashing(0.5))
        bad = life.push(web=service("web:2"), db=service("db:1"))
        life.turn()
        life.behave("web:2", STEADY)  # so that nothing but memory keeps it from being tried again
        newest = life.push(web=service("web:3"), db=service("db:1"))
        life.turn()
        shorter = number < len(life.journal.lines)
        del life.journal.lines[-number:]
        life.reporter.journal_lost = True
        life.start()
        life.settle()
        assert life.running() == {"shop-web-1": "web:3", "shop-db-1": "db:1"}, number
        assert [*life.cycle.history.quarantined] in ([], [bad]), number
        assert life.cycle.history.last_good is not None
        assert life.cycle.history.last_good.revision == newest, number
        life.source.branch.append(bad)
        life.turn()
        life.turn()
        assert life.running() == {"shop-web-1": "web:3", "shop-db-1": "db:1"}, number


@pytest.mark.parametrize("seconds", [0.5, 1.5, 30.0])
@pytest.mark.parametrize("moment", [0.2, 1.0, 2.5, 3.5])
def test_an_engine_that_restarts_while_a_gate_waits_quarantines_nothing(seconds: float, moment: float) -> None:
    life = Life()
    life.push(db=service("db:1"), web=service("web:1", restart="no"))
    life.turn()
    life.behave("web:2", healthy(3.0))
    sha = life.push(db=service("db:1"), web=service("web:2", restart="no"))
    start = life.machine.clock.seconds
    life.machine.at(start + moment, lambda: life.machine.restart_engine(seconds))
    turn = life.turn()
    assert turn.outcome is (Outcome.SUCCEEDED if seconds < 2 else Outcome.FAILED), turn
    life.machine.advance(60.0)
    life.turn()
    life.turn()
    assert life.effects == 0
    assert sha not in life.cycle.history.quarantined
    assert life.running() == {"shop-db-1": "db:1", "shop-web-1": "web:2"}


def test_the_time_that_the_engine_is_away_does_not_count_for_a_deadline() -> None:
    life = Life()
    life.push(web=service("web:1"))
    life.turn()
    life.behave("web:2", healthy(27.0))
    life.push(web=service("web:2"))
    life.machine.call_takes = 0.0
    begun = life.machine.clock.seconds

    def away() -> None:
        life.machine.go_away(9.0)
        life.machine.call_takes = 4.5

    life.machine.at(begun + 15.0, away)
    life.machine.at(begun + 25.0, lambda: setattr(life.machine, "call_takes", 0.0))
    assert life.turn().outcome is Outcome.SUCCEEDED, "27 s are more than healthy_deadline, less the 9 s"


def internal(life: Life, version: str) -> str:
    """Another definition of the network under everything."""
    return life.push_model({"services": {"web": service(version)}, "networks": {"default": {"internal": True}}})


def test_a_network_that_somebody_else_is_in_is_not_replaced_and_nothing_is_stopped() -> None:
    life = Life()
    life.push(web=service("web:1"))
    life.turn()
    before = life.machine.snapshot()
    life.machine.add_foreign("guest", 1 << 20)
    life.machine.enters("guest", "shop_default")
    sha = internal(life, "web:1")
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.FAILED, Reason.DEPENDENCY_NOT_READY)
    assert "guest" in turn.message
    assert life.machine.snapshot() == before
    network = life.machine.networks["shop_default"]
    life.machine.networks["shop_default"] = replace(network, containers=frozenset())
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.reporter.told[sha][0] == "success"


def test_somebody_who_enters_a_network_just_before_it_is_replaced_quarantines_nothing() -> None:
    life = Life()
    life.push(web=service("web:1"))
    life.turn()
    life.machine.add_foreign("guest", 1 << 20)
    sha = internal(life, "web:1")

    def enters(effect: str) -> None:
        if effect.startswith("stop "):
            life.machine.enters("guest", "shop_default")

    life.machine.effects = _Each(enters)
    assert life.turn().reason is Reason.DEPENDENCY_NOT_READY
    life.machine.effects = Effects()
    assert sha not in life.cycle.history.quarantined
    assert life.running() == {"shop-web-1": "web:1"}, "back"
    network = life.machine.networks["shop_default"]
    life.machine.networks["shop_default"] = replace(network, containers=frozenset())
    life.settle()
    assert life.reporter.told[sha][0] == "success"
