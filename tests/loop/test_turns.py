"""Whole turns on the fake machine."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.errors import Transient
from reconciler.model.outcome import Outcome, Reason
from tests.fakes.behaviour import never_healthy
from tests.fakes.life import Life, service


def test_a_first_push_becomes_a_healthy_stack() -> None:
    life = Life()
    sha = life.push(db=service("db:1"), web=service("web:1", after={"db": "service_healthy"}))
    turn = life.turn()
    assert (turn.outcome, turn.revision) == (Outcome.SUCCEEDED, sha)
    assert life.running() == {"shop-db-1": "db:1", "shop-web-1": "web:1"}
    assert {c.restart for c in life.machine.containers.values()} == {"unless-stopped"}
    assert life.turn().outcome is Outcome.UNCHANGED
    assert life.effects == 0
    assert life.reporter.told == {sha: ("success", "ReconciliationSucceeded")}


def test_a_changed_service_alone_is_replaced() -> None:
    life = Life()
    life.push(db=service("db:1"), web=service("web:1", after={"db": "service_healthy"}))
    life.turn()
    before = life.ids()
    life.push(db=service("db:1"), web=service("web:2", after={"db": "service_healthy"}))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.ids()["shop-db-1"] == before["shop-db-1"]
    assert life.running() == {"shop-db-1": "db:1", "shop-web-1": "web:2"}
    assert set(life.ids()) == {"shop-db-1", "shop-web-1"}


def test_a_commit_that_never_gets_healthy_is_rolled_back() -> None:
    life = Life()
    good = life.push(db=service("db:1"), web=service("web:1", after={"db": "service_healthy"}))
    life.turn()
    before = life.machine.snapshot()
    life.behave("web:2", never_healthy())
    bad = life.push(db=service("db:1"), web=service("web:2", after={"db": "service_healthy"}))
    turn = life.turn()
    assert (turn.outcome, turn.reason, turn.reverted_to) == (Outcome.ROLLED_BACK, Reason.HEALTH_CHECK_FAILED, good)
    assert life.machine.snapshot() == before
    for _ in range(2):
        assert life.turn().exit_code == 1
        assert life.effects == 0
    assert life.reporter.told[bad] == ("failure", "HealthCheckFailed")


def test_what_an_attempt_sets_out_to_do_is_on_the_record() -> None:
    life = Life()
    life.push(web=service("web:1"), db=service("db:1"))
    life.turn()
    first = life.cycle.history.attempts[-1]
    assert first.planned is not None
    assert (first.planned.creates, first.planned.restarts) == (("shop/db", "shop/web"), ())
    assert first.stacks == ("shop",)
    life.push(web=service("web:2"))
    life.turn()
    planned = life.cycle.history.attempts[-1].planned
    assert planned is not None
    assert (planned.restarts, planned.creates, planned.removes) == (("shop/web",), (), ("shop/db",))
    assert [name for name, _ in planned.downtime] == ["shop/web"]
    assert planned.images == (("shop/web", "web:2"),)
    assert planned.before > planned.after > 0
    assert planned.peak <= planned.bound


def test_a_record_that_cannot_be_written_keeps_no_rollout(monkeypatch: pytest.MonkeyPatch) -> None:
    life = Life()
    append = life.journal.append

    def refuse(kind: str, **fields: Any) -> None:
        if kind == "planned":
            raise Transient(Reason.DISK_FAILED, "no room")
        append(kind, **fields)

    monkeypatch.setattr(life.journal, "append", refuse)
    life.push(web=service("web:1"))
    assert life.turn().outcome == "Succeeded"
    assert life.cycle.history.attempts[-1].planned is None
