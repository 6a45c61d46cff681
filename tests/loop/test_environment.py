"""Memory, ports, engine, remote or disk fail: nothing is quarantined, and no service stays down."""

from __future__ import annotations

from typing import Any

from reconciler.errors import Transient, Usage
from reconciler.model.outcome import Outcome, Reason
from tests.fakes.behaviour import (
    crashing,
    never_healthy,
)
from tests.fakes.life import Life, service
from tests.loop.lives import assert_quiet, goes_down, proven, settled


def test_over_budget_is_refused_before_anything_is_touched() -> None:
    life = proven(web=service("web:1"))
    life.push(web=service("web:2", mem_limit=str(8 << 30)))
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.REJECTED, Reason.BUDGET_EXCEEDED)
    assert life.running() == {"shop-web-1": "web:1"}


def test_others_memory_holds_a_commit_and_quarantines_it_not() -> None:
    life = Life()
    life.machine.add_foreign("hog", 3 << 30)
    life.push(web=service("web:1", mem_limit=str(1 << 30)))
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.FAILED, Reason.BUDGET_EXCEEDED)
    assert life.running() == {}
    life.machine.foreign.clear()
    assert life.turn().outcome is Outcome.SUCCEEDED


def test_a_port_that_somebody_holds_quarantines_nothing() -> None:
    life = Life()
    life.machine.add_foreign("holder", 1 << 20, [("0.0.0.0", 8080, "tcp")])
    ports = [{"mode": "ingress", "target": 80, "published": "8080", "protocol": "tcp"}]
    life.push(web=service("web:1", ports=ports))
    turn = life.turn()
    assert (turn.outcome, turn.exit_code) == (Outcome.FAILED, 3)
    assert "holder" in turn.message
    life.machine.foreign.clear()
    assert life.turn().outcome is Outcome.SUCCEEDED


def test_an_engine_that_goes_away_quarantines_nothing() -> None:
    life = proven(web=service("web:1"))
    life.push(web=service("web:2"))
    life.during["WaitHealthy"] = lambda: life.machine.go_away(100.0)
    turn = life.turn()
    assert (turn.outcome, turn.reason, turn.exit_code) == (Outcome.FAILED, Reason.ENGINE_UNAVAILABLE, 3)
    life.machine.advance(200.0)
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.running() == {"shop-web-1": "web:2"}


def test_a_stop_signal_ends_the_turn_and_the_next_goes_on() -> None:
    life = proven(web=service("web:1"))
    life.push(web=service("web:2"))

    def ask() -> None:
        life.stopping = True

    life.during["WaitHealthy"] = ask
    turn = life.turn()
    assert (turn.outcome, turn.exit_code) == (Outcome.INTERRUPTED, 143)
    life.stopping = False
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert list(life.ids()) == ["shop-web-1"]


def test_a_note_that_could_not_be_told_is_told_later() -> None:
    life = Life()
    life.reporter.away = True
    sha = life.push(web=service("web:1"))
    life.turn()
    assert life.reporter.told == {}
    life.reporter.away = False
    life.turn()
    assert life.reporter.told[sha][0] == "success"


def test_a_port_that_is_stolen_between_check_and_start_quarantines_nothing() -> None:
    life = Life()
    ports = [{"mode": "ingress", "target": 80, "published": "8080", "protocol": "tcp"}]
    life.push(web=service("web:1"))
    settled(life)
    before = life.machine.snapshot()
    life.push(web=service("web:2", ports=ports))
    life.during["StopContainer"] = lambda: life.machine.add_foreign("thief", 1 << 20, [("0.0.0.0", 8080, "tcp")])
    turn = life.turn()
    assert (turn.outcome, turn.exit_code) == (Outcome.FAILED, 3)
    assert life.machine.snapshot() == before
    assert life.reporter.told.keys() == {life.source.branch[0]}
    life.machine.foreign.clear()
    assert life.turn().outcome is Outcome.SUCCEEDED


def test_a_commit_that_cannot_be_judged_is_told_once_to_be_in_error_and_tried_on() -> None:
    life = proven(web=service("web:1"))
    sha = life.push(web=service("web:2", mem_limit=str(1 << 30)))
    life.machine.add_foreign("hog", 3 << 30)
    assert life.turn().outcome is Outcome.FAILED
    assert sha not in life.reporter.told
    life.machine.advance(3601.0)
    for _ in range(2):
        assert life.turn().outcome is Outcome.FAILED
    assert life.reporter.told[sha] == ("error", "BudgetExceeded")
    life.machine.foreign.clear()
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.reporter.told[sha] == ("error", "BudgetExceeded")


def test_last_good_is_not_brought_back_over_the_bound() -> None:
    life = proven(web=service("web:1"))
    life.machine.vanishes("shop-web-1")
    life.machine.add_foreign("hog", 4 << 30)
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.FAILED, Reason.BUDGET_EXCEEDED)
    assert life.running() == {}
    life.machine.foreign.clear()
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.running() == {"shop-web-1": "web:1"}


def test_a_fault_in_the_middle_of_the_switch_leaves_no_service_down() -> None:
    """A foreign container has the name that the new one needs."""
    life = proven(web=service("web:1"))
    before = life.machine.snapshot()
    life.push(web=service("web:2", container_name="taken"))
    life.machine.add_foreign("taken", 1 << 20)
    turn = life.turn()
    assert (turn.outcome, turn.exit_code) == (Outcome.FAILED, 3)
    assert life.machine.snapshot() == before
    life.machine.foreign.clear()
    assert life.turn().outcome is Outcome.SUCCEEDED


def test_a_container_that_somebody_removes_quarantines_nothing() -> None:
    life = proven(web=service("web:1"))
    sha = life.push(web=service("web:2"))

    def remove() -> None:
        life.machine.vanishes("shop-web-1")

    life.during["WaitHealthy"] = remove
    assert life.turn().outcome is Outcome.FAILED
    assert sha not in life.reporter.told
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.reporter.told[sha][0] == "success"


def test_a_rollback_that_the_environment_hinders_is_taken_again() -> None:
    life = Life()
    ports = [{"mode": "ingress", "target": 80, "published": "8080", "protocol": "tcp"}]
    life.push(web=service("web:1", ports=ports))
    settled(life)
    before = life.machine.snapshot()
    life.behave("web:2", never_healthy())
    bad = life.push(web=service("web:2"))
    life.during["WaitHealthy"] = lambda: life.machine.add_foreign("thief", 1 << 20, [("0.0.0.0", 8080, "tcp")])
    assert life.turn().exit_code == 3
    life.machine.foreign.clear()
    turn = life.turn()
    assert (turn.outcome, turn.revision) == (Outcome.ROLLED_BACK, bad)
    assert life.machine.snapshot() == before
    life.turn()
    assert_quiet(life)


def test_a_new_commit_does_not_wait_for_a_repair_that_fails() -> None:
    life = proven(web=service("web:1"))
    life.behave("web:1", crashing(0.1))
    goes_down(life, "shop-web-1")
    assert life.turn(patient=True).outcome is Outcome.FAILED
    life.push(web=service("web:2"))
    assert life.turn(patient=True).outcome is Outcome.SUCCEEDED


def test_a_journal_that_cannot_be_written_ends_no_process() -> None:
    life = Life()
    life.push(web=service("web:1"))
    append = life.journal.append

    def refusing(kind: str, *, at: float, **fields: Any) -> None:
        if kind in full:
            raise Transient(Reason.DISK_FAILED, "the disk is full")
        append(kind, at=at, **fields)

    life.journal.append = refusing  # type: ignore[method-assign]
    for kind in ("seen", "started", "prepared", "ended", "closed", "told"):
        full = {kind}
        life.turn()
    full = set()
    life.settle()
    assert life.running() == {"shop-web-1": "web:1"}
    assert [a.outcome for a in life.cycle.history.attempts if a.final] == [Outcome.SUCCEEDED]


def test_secrets_that_cannot_be_used_end_no_process() -> None:
    life = proven(web=service("web:1"))

    def unusable() -> str:
        raise Usage(Reason.SECRETS_UNUSABLE, "shop.env can be read by other users", "chmod 0600 shop.env")

    preparer = life.cycle._ports.preparer
    preparer.inputs = unusable  # type: ignore[method-assign]
    turn = life.turn()
    assert (turn.outcome, turn.exit_code) == (Outcome.FAILED, 3)
    assert "chmod" in turn.hint
    assert life.effects == 0
