"""Commits are held where nothing enforces memory limits, and the engine's abilities are recorded once."""

from __future__ import annotations

import pytest

from reconciler.errors import Away
from reconciler.model.outcome import Outcome, Reason
from tests.fakes.life import Life, service
from tests.loop.lives import proven


def records(life: Life) -> list[dict[str, object]]:
    return [dict(line) for line in life.journal.lines if line["kind"] == "engine"]


def test_a_commit_is_held_while_no_limit_is_enforced() -> None:
    life = Life()
    life.machine.enforces = False
    life.push(web=service("web:1"))
    code, plan = life.plan()
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.HELD, Reason.LIMITS_NOT_ENFORCED)
    assert (code, plan["outcome"], plan["message"], plan["hint"]) == (1, "Held", turn.message, turn.hint)
    assert "cgroup_enable=memory" in turn.hint
    assert "budget: advisory" in turn.hint
    assert not life.machine.containers
    life.ask("accept", life.source.branch[-1])
    assert life.turn().outcome is Outcome.HELD, "accept is about the commit, not about the machine"
    life.machine.enforces = True
    assert life.turn().outcome is Outcome.SUCCEEDED


def test_what_runs_keeps_running_and_is_corrected() -> None:
    life = proven(web=service("web:1"), db=service("db:1"))
    life.machine.enforces = False
    life.machine.vanishes("shop-db-1")
    life.push(web=service("web:2"), db=service("db:1"))
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.HELD, Reason.LIMITS_NOT_ENFORCED)
    assert life.running() == {"shop-web-1": "web:1", "shop-db-1": "db:1"}


def test_the_operator_may_do_without_limits() -> None:
    life = Life()
    life.machine.enforces, life.advisory = False, True
    life.start()
    life.push(web=service("web:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.push(web=service("web:1", mem_limit=str(5 << 30)))
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.REJECTED, Reason.BUDGET_EXCEEDED), "the sum still counts"


def test_limits_that_the_engine_drops_are_no_drift_until_it_enforces_them() -> None:
    life = Life()
    life.machine.enforces, life.advisory = False, True
    life.start()
    life.push(web=service("web:1", restart="always"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    for _ in range(3):
        assert life.turn().outcome is Outcome.UNCHANGED
    web = life.machine.named("shop-web-1")
    assert (web.memory, [line for line in life.journal.lines if line["kind"] == "tolerated"]) == (0, [])
    life.machine.enforces = True  # the machine was booted with the controller
    life.start()
    turns = [life.turn().reason for _ in range(3)]
    assert Reason.DRIFT_CORRECTED in turns
    assert web.memory == 64 << 20
    assert life.turn().outcome is Outcome.UNCHANGED


def test_limits_that_an_older_version_has_given_up_are_set_once_they_are_enforced() -> None:
    life = Life()
    life.machine.enforces, life.advisory = False, True
    life.start()
    life.push(web=service("web:1", restart="always"))
    life.turn()
    web = life.machine.named("shop-web-1")
    life.journal.append("tolerated", at=life.machine.clock.now(), spec=web.spec, fact="memory", found="without limit")
    life.machine.enforces = True
    life.start()
    for _ in range(3):
        life.turn()
    assert web.memory == 64 << 20


def test_the_engine_is_recorded_when_it_changes_and_asked_once_a_process() -> None:
    life = proven(web=service("web:1"))
    (record,) = records(life)
    assert (record["product"], record["memoryLimits"], record["machine"]) == ("Docker Engine", True, "host")
    asked = life.asked_engine
    for _ in range(3):
        life.turn()
    assert life.asked_engine == asked, "a quiet turn asks nothing"
    life.start()
    life.turn()
    life.machine.enforces = False
    life.turn()
    assert (life.asked_engine, len(records(life))) == (asked + 1, 1)
    life.start()
    life.turn()
    assert [item["memoryLimits"] for item in records(life)] == [True, False]
    history = life.cycle.history
    assert history.engine is not None
    assert not history.engine.limits


def test_an_engine_that_was_away_is_asked_again() -> None:
    life = proven(web=service("web:1"))
    asked = life.asked_engine
    life.machine.go_away(30.0)
    assert life.turn().reason is Reason.ENGINE_UNAVAILABLE
    life.machine.advance(60.0)
    life.turn()
    assert life.asked_engine == asked + 1


def test_an_engine_that_does_not_say_what_it_is_changes_no_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    life = proven(web=service("web:1"))

    def silent(*_: object) -> None:
        raise Away(Reason.ENGINE_UNAVAILABLE, "it does not answer")

    monkeypatch.setattr(life, "abilities", silent)
    life.start()
    assert life.turn().outcome is Outcome.UNCHANGED
