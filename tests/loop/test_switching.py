"""What Compose features mean when a commit changes them, on the fake machine."""

from __future__ import annotations

import pytest

from reconciler.model.outcome import Outcome, Reason
from tests.fakes.behaviour import (
    Behaviour,
    crashing,
    flapping,
    healthy,
    never_healthy,
    one_shot,
    out_of_memory,
    refusing,
)
from tests.fakes.life import Life, service


def settled(life: Life) -> Life:
    turn = life.turn()
    assert turn.outcome is Outcome.SUCCEEDED, turn
    assert life.turn().outcome is Outcome.UNCHANGED
    assert life.effects == 0
    return life


def test_replicas_are_replaced_one_at_a_time() -> None:
    life = Life()
    life.push(web=service("web:1", deploy={"replicas": 3}))
    settled(life)
    life.push(web=service("web:2", deploy={"replicas": 3}))
    least = 3

    def count(*_: object) -> None:
        nonlocal least
        least = min(least, sum(c.state == "running" for c in life.machine.containers.values()))

    stop = life.machine.listen(count)
    settled(life)
    stop()
    assert life.running() == {f"shop-web-{n}": "web:2" for n in (1, 2, 3)}
    assert least == 2


def test_more_replicas_leave_those_that_run() -> None:
    life = Life()
    life.push(web=service("web:1"))
    settled(life)
    before = life.ids()
    life.push(web=service("web:1", deploy={"replicas": 3}))
    settled(life)
    assert life.ids().keys() == {"shop-web-1", "shop-web-2", "shop-web-3"}
    assert life.ids()["shop-web-1"] == before["shop-web-1"]
    life.push(web=service("web:1"))
    settled(life)
    assert life.ids() == before


def test_a_container_name_is_kept() -> None:
    life = Life()
    life.push(web=service("web:1", container_name="the-web"))
    settled(life)
    life.push(web=service("web:2", container_name="the-web"))
    settled(life)
    assert life.running() == {"the-web": "web:2"}


def test_a_one_shot_runs_once_for_each_version() -> None:
    life = Life()
    for n in "12":
        life.behave(f"job:{n}", one_shot())
    for _ in range(2):
        life.push(
            job=service("job:1", health=False, restart="no"),
            web=service("web:1", after={"job": "service_completed_successfully"}),
        )
        turn = life.turn()
        assert turn.outcome is Outcome.SUCCEEDED
    assert life.machine.named("shop-job-1").starts == 1
    life.push(
        job=service("job:2", health=False, restart="no"),
        web=service("web:1", after={"job": "service_completed_successfully"}),
    )
    settled(life)
    assert life.machine.named("shop-job-1").starts == 1
    assert life.machine.named("shop-job-1").image == "sha256:job:2"
    life.machine.vanishes("shop-job-1")
    assert life.turn().outcome is Outcome.UNCHANGED


def test_a_reverted_commit_says_that_its_migration_ran() -> None:
    life = Life()
    for n in "12":
        life.behave(f"job:{n}", one_shot())
    life.push(job=service("job:1", health=False, restart="no"), web=service("web:1"))
    settled(life)
    before = life.machine.snapshot()
    life.behave("web:2", never_healthy())
    life.push(
        job=service("job:2", health=False, restart="no"),
        web=service("web:2", after={"job": "service_completed_successfully"}),
    )
    turn = life.turn()
    assert turn.outcome is Outcome.ROLLED_BACK
    assert turn.message.startswith("one-shot shop/job already ran")
    assert life.machine.snapshot() == before


def test_a_failing_one_shot_is_taken_back() -> None:
    life = Life()
    life.behave("job:1", one_shot(code=3))
    life.push(
        job=service("job:1", health=False, restart="no"),
        web=service("web:1", after={"job": "service_completed_successfully"}),
    )
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.ROLLED_BACK, Reason.CRASHED)
    assert turn.failure is not None
    assert (turn.failure.service, turn.failure.exit_code) == ("job", 3)
    assert life.running() == {}
    assert life.turn().outcome is Outcome.HELD
    assert life.effects == 0


def sharing(version: str, **more: object) -> dict[str, object]:
    return service(f"side:{version}", health=False, network_mode="service:app", networks=None) | more


def test_those_that_share_a_namespace_switch_together() -> None:
    life = Life()
    life.push(app=service("app:1"), side=sharing("1"))
    settled(life)
    life.push(app=service("app:2"), side=sharing("1"))
    settled(life)
    assert life.running() == {"shop-app-1": "app:2", "shop-side-1": "side:1"}
    app = life.machine.named("shop-app-1")
    assert life.machine.named("shop-side-1").network_mode == f"container:{app.id}"


def test_those_that_share_a_namespace_go_back_together() -> None:
    life = Life()
    life.push(app=service("app:1"), side=sharing("1"))
    settled(life)
    before = life.machine.snapshot()
    life.behave("side:2", crashing(0.5))
    life.push(app=service("app:2"), side=sharing("2", restart="no"))
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.machine.snapshot() == before
    assert life.turn().exit_code == 1
    assert life.effects == 0


def test_anonymous_volumes_are_taken_over() -> None:
    life = Life()
    life.push(web=service("web:1", volumes=[{"type": "volume", "target": "/cache"}]))
    settled(life)
    before = life.machine.named("shop-web-1").mounts
    life.push(web=service("web:2", volumes=[{"type": "volume", "target": "/cache"}]))
    settled(life)
    assert life.machine.named("shop-web-1").mounts == before


def test_a_changed_network_is_replaced_under_its_services() -> None:
    life = Life()
    life.push(db=service("db:1"), web=service("web:1", after={"db": "service_healthy"}))
    settled(life)
    model = {"services": {"db": service("db:1"), "web": service("web:1", after={"db": "service_healthy"})}}
    life.push_model(model | {"networks": {"default": {"internal": True}}})
    settled(life)
    network = life.machine.networks["shop_default"]
    assert {c.networks["shop_default"] for c in life.machine.containers.values()} == {network.id}
    assert life.machine.applier is not None


def test_a_changed_network_comes_back_with_its_services() -> None:
    life = Life()
    life.push(db=service("db:1"), web=service("web:1", after={"db": "service_healthy"}))
    settled(life)
    before = life.machine.snapshot()
    life.behave("web:2", never_healthy())
    model = {"services": {"db": service("db:1"), "web": service("web:2", after={"db": "service_healthy"})}}
    life.push_model(model | {"networks": {"default": {"internal": True}}})
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.machine.snapshot() == before
    assert life.turn().exit_code == 1
    assert life.effects == 0


def test_a_removed_service_goes_and_its_volume_stays() -> None:
    life = Life()
    data = {"volumes": {"data": {}}}
    both = {"db": service("db:1", volumes=[{"type": "volume", "source": "data", "target": "/d"}])}
    life.push_model({"services": both | {"web": service("web:1")}} | data)
    settled(life)
    life.push_model({"services": {"web": service("web:1")}})
    settled(life)
    assert life.running() == {"shop-web-1": "web:1"}
    assert "shop_data" in life.machine.volumes


def test_a_removed_service_comes_back_when_the_rest_fails() -> None:
    life = Life()
    life.push(db=service("db:1"), web=service("web:1"), old=service("old:1"))
    settled(life)
    before = life.machine.snapshot()
    life.behave("web:2", never_healthy())
    life.push(db=service("db:1"), web=service("web:2"))
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.machine.snapshot() == before


def verdict(behaviour: Behaviour, **more: object) -> tuple[Outcome, Reason]:
    """What becomes of a commit whose web behaves like this."""
    life = Life()
    life.push(web=service("web:1"), other=service("other:1"))
    settled(life)
    before = life.machine.snapshot()
    life.behave("web:2", behaviour)
    life.push(web=service("web:2", **more), other=service("other:1"))  # type: ignore[arg-type]  # any key
    turn = life.turn()
    if turn.outcome is Outcome.ROLLED_BACK:
        assert life.machine.snapshot() == before
    return turn.outcome, turn.reason


def test_verdicts() -> None:
    good, back = Outcome.SUCCEEDED, Outcome.ROLLED_BACK
    fine = (good, Reason.RECONCILIATION_SUCCEEDED)
    assert verdict(healthy(15.0)) == fine
    assert verdict(healthy(19.9)) == fine
    assert verdict(healthy(21.0)) == (back, Reason.HEALTH_CHECK_FAILED)
    assert verdict(never_healthy()) == (back, Reason.HEALTH_CHECK_FAILED)
    assert verdict(flapping(1.0)) == (back, Reason.HEALTH_CHECK_FAILED)
    assert verdict(crashing(2.0), restart="always") == (back, Reason.CRASHED)
    assert verdict(crashing(0.1), restart="always") == (back, Reason.CRASHED)
    assert verdict(crashing(0.1), restart="no") == (back, Reason.CRASHED)
    assert verdict(crashing(0.3, times=2), restart="always") == fine
    assert verdict(out_of_memory(0.3)) == (back, Reason.OUT_OF_MEMORY)
    assert verdict(out_of_memory(0.3, kills=True), restart="always") == (back, Reason.OUT_OF_MEMORY)
    assert verdict(crashing(1.0, code=0), restart="no") == (back, Reason.CRASHED)
    assert verdict(Behaviour(refuses="exec not found")) == (back, Reason.CRASHED)


def test_a_service_that_was_unhealthy_before_is_not_held_against_the_commit() -> None:
    life = Life()
    life.push(web=service("web:1"), other=service("other:1"))
    settled(life)
    life.machine.turns("shop-other-1", "unhealthy")
    life.push(web=service("web:2"), other=service("other:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED


def test_the_same_content_is_never_tried_twice() -> None:
    life = Life()
    life.push(web=service("web:1"))
    settled(life)
    life.behave("web:2", never_healthy())
    life.push(web=service("web:2"))
    assert life.turn().outcome is Outcome.ROLLED_BACK
    again = life.push(web=service("web:2"))
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.REJECTED, Reason.REVISION_QUARANTINED)
    assert life.reporter.told[again] == ("failure", "RevisionQuarantined")
    back = life.push(web=service("web:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.reporter.told[back][0] == "success"
    assert life.machine.named("shop-web-1").starts == 2


def test_a_rewritten_branch_is_held() -> None:
    life = Life()
    life.push(web=service("web:1"))
    settled(life)
    life.push(web=service("web:2"))
    settled(life)
    life.source.rewind(1)
    life.push(web=service("web:3"))
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.HELD, Reason.NOT_FAST_FORWARD)
    assert life.effects == 0
    assert life.running() == {"shop-web-1": "web:2"}


def test_a_commit_that_drops_most_services_is_held() -> None:
    life = Life()
    life.push(**{name: service(f"{name}:1") for name in "abcd"})
    settled(life)
    life.push(a=service("a:1"))
    assert life.turn().outcome is Outcome.HELD
    assert len(life.running()) == 4


@pytest.mark.parametrize(("interval", "noticed"), [(5.0, False), (1000.0, True)])
def test_a_newer_commit_overtakes_what_waits(interval: float, noticed: bool) -> None:
    life = Life(interval=interval)
    life.push(web=service("web:1"))
    settled(life)
    life.behave("web:2", never_healthy(after=1000))
    slow = life.push(web=service("web:2"))

    def newer() -> None:
        life.push(web=service("web:3"))
        life.pushed = noticed

    life.during["WaitHealthy"] = newer
    turn = life.turn()
    assert turn.outcome is Outcome.SUCCEEDED
    assert life.running() == {"shop-web-1": "web:3"}
    assert life.reporter.told[slow] == ("superseded", "Superseded")
    assert life.machine.clock.seconds < 60
    assert life.turn().outcome is Outcome.UNCHANGED
    assert list(life.ids()) == ["shop-web-1"]


def test_a_newer_commit_about_something_else_waits_for_the_verdict() -> None:
    life = Life()
    life.push(web=service("web:1"), other=service("other:1"))
    settled(life)
    life.behave("web:2", healthy(12.0))
    slow = life.push(web=service("web:2"), other=service("other:1"))
    life.during["WaitHealthy"] = lambda: life.push(web=service("web:2"), other=service("other:2"))
    assert life.turn().revision == slow
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.running()["shop-other-1"] == "other:2"


def test_over_budget_is_refused_before_anything_is_touched() -> None:
    life = Life()
    life.push(web=service("web:1"))
    settled(life)
    life.push(web=service("web:2", mem_limit=str(8 << 30)))
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.REJECTED, Reason.BUDGET_EXCEEDED)
    assert life.running() == {"shop-web-1": "web:1"}


def test_others_memory_holds_a_commit_and_condemns_it_not() -> None:
    life = Life()
    life.machine.add_foreign("hog", 3 << 30)
    life.push(web=service("web:1", mem_limit=str(1 << 30)))
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.FAILED, Reason.BUDGET_EXCEEDED)
    assert life.running() == {}
    life.machine.foreign.clear()
    assert life.turn().outcome is Outcome.SUCCEEDED


def test_a_port_that_somebody_holds_condemns_nothing() -> None:
    life = Life()
    life.machine.add_foreign("holder", 1 << 20, [("0.0.0.0", 8080, "tcp")])
    ports = [{"mode": "ingress", "target": 80, "published": "8080", "protocol": "tcp"}]
    life.push(web=service("web:1", ports=ports))
    turn = life.turn()
    assert (turn.outcome, turn.exit_code) == (Outcome.FAILED, 3)
    assert "holder" in turn.message
    life.machine.foreign.clear()
    assert life.turn().outcome is Outcome.SUCCEEDED


def test_an_engine_that_goes_away_condemns_nothing() -> None:
    life = Life()
    life.push(web=service("web:1"))
    settled(life)
    life.push(web=service("web:2"))
    life.during["WaitHealthy"] = lambda: life.machine.go_away(100.0)
    turn = life.turn()
    assert (turn.outcome, turn.reason, turn.exit_code) == (Outcome.FAILED, Reason.ENGINE_UNAVAILABLE, 3)
    life.machine.advance(200.0)
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.running() == {"shop-web-1": "web:2"}


def test_a_way_back_that_fails_is_not_taken_twice() -> None:
    life = Life()
    life.push(web=service("web:1"))
    settled(life)
    life.behave("web:2", never_healthy())
    life.behave("web:1", never_healthy())
    bad = life.push(web=service("web:2"))
    turn = life.turn()
    assert (turn.outcome, turn.exit_code) == (Outcome.ROLLBACK_FAILED, 4)
    for _ in range(2):
        turn = life.turn()
        assert (turn.outcome, turn.reason, turn.exit_code) == (Outcome.HELD, Reason.STALLED, 4)
        assert life.effects == 0
    assert life.reporter.told[bad] == ("failure", "RollbackFailed")
    life.push(web=service("web:3"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.running() == {"shop-web-1": "web:3"}


def test_a_stop_signal_ends_the_turn_and_the_next_goes_on() -> None:
    life = Life()
    life.push(web=service("web:1"))
    settled(life)
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


def test_a_port_that_is_stolen_between_check_and_start_condemns_nothing() -> None:
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
    life = Life()
    life.push(web=service("web:1"))
    settled(life)
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
    life = Life()
    life.push(web=service("web:1"))
    settled(life)
    life.machine.vanishes("shop-web-1")
    life.machine.add_foreign("hog", 4 << 30)
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.FAILED, Reason.BUDGET_EXCEEDED)
    assert life.running() == {}
    life.machine.foreign.clear()
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.running() == {"shop-web-1": "web:1"}


def test_an_always_pulled_image_is_pulled_with_each_new_commit() -> None:
    life = Life()
    life.push(web=service("web:1", pull_policy="always"))
    life.machine.registry["web:1"] = life.machine.images["web:1"]
    settled(life)
    life.push(web=service("web:1", pull_policy="always"), other=service("other:1"))
    settled(life)
    assert [step for step in life.machine.trace if step.startswith("pull")] == ["pull web:1", "pull web:1"]


def test_a_bad_commit_is_remembered_without_the_journal() -> None:
    life = Life()
    life.push(web=service("web:1"))
    settled(life)
    life.behave("web:2", never_healthy())
    life.push(web=service("web:2"))
    assert life.turn().outcome is Outcome.ROLLED_BACK
    life.journal.lines.clear()
    life.start()
    turn = life.turn()
    assert (turn.exit_code, turn.reason) == (1, Reason.REVISION_QUARANTINED)
    assert life.running() == {"shop-web-1": "web:1"}
    assert life.turn().exit_code == 1
    assert life.effects == 0


def test_the_way_back_is_not_blocked_by_what_others_take_meanwhile() -> None:
    life = Life()
    life.push(web=service("web:1"))
    settled(life)
    before = life.machine.snapshot()
    life.behave("web:2", never_healthy())
    life.push(web=service("web:2"))
    life.during["StopContainer"] = lambda: life.machine.add_foreign("hog", 4 << 30)
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.machine.snapshot() == before


def test_a_cut_off_rollout_goes_back_when_the_next_commit_is_refused() -> None:
    life = Life()
    life.push(web=service("web:1"), other=service("other:1"))
    settled(life)
    before = life.machine.snapshot()
    life.push(web=service("web:2"), other=service("other:2"))
    count = life.machine.effects.count
    life.start(crash_at=10)
    assert life.turn_or_die() is None, count
    assert life.machine.snapshot() != before
    cut_off = life.source.branch[-1]
    refused = life.push(web=service("web:3", mem_limit=str(8 << 30)), other=service("other:1"))
    assert life.turn().outcome is Outcome.REJECTED
    assert life.machine.snapshot() == before
    assert life.reporter.told[cut_off][0] == "superseded"
    assert life.reporter.told[refused][0] == "failure"
    assert life.turn().exit_code == 1
    assert life.effects == 0


def test_a_cut_off_rollout_is_finished_while_the_branch_is_rewritten() -> None:
    life = Life()
    life.push(web=service("web:1"))
    settled(life)
    wanted = life.push(web=service("web:2"))
    life.start(crash_at=10)
    assert life.turn_or_die() is None
    life.source.rewind(1)
    life.push(web=service("web:3"))
    turn = life.turn()
    assert (turn.outcome, turn.revision) == (Outcome.SUCCEEDED, wanted)
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.HELD, Reason.NOT_FAST_FORWARD)
    assert life.running() == {"shop-web-1": "web:2"}


def test_a_service_that_was_unhealthy_before_does_not_spoil_the_way_back() -> None:
    life = Life()
    life.push(web=service("web:1"), other=service("other:1", after={"web": "service_healthy"}))
    settled(life)
    before = life.machine.snapshot()
    life.machine.turns("shop-other-1", "unhealthy")
    life.behave("web:2", never_healthy())
    life.push(web=service("web:2"), other=service("other:2", after={"web": "service_healthy"}))
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.machine.snapshot() == before


def test_new_services_of_one_level_start_before_any_of_them_is_waited_for() -> None:
    life = Life()
    after = {"after": {"db": "service_healthy"}}
    life.push(
        db=service("db:1"), cache=service("cache:1"), web=service("web:1", **after), worker=service("worker:1", **after)
    )
    assert life.turn().outcome == "Succeeded"
    acted = [(str(step.action), step.service) for step in life.steps]
    starts = [position for position, (action, _) in enumerate(acted) if action == "StartContainer"]
    assert [acted[position][1] for position in starts] == ["cache", "db", "web", "worker"]
    assert starts[1] == starts[0] + 1
    assert starts[3] == starts[2] + 1
    assert ("WaitHealthy", "db") in acted[starts[1] : starts[2]]


def test_when_one_of_a_level_is_refused_the_others_are_stopped_with_it() -> None:
    life = Life()
    first = life.push(db=service("db:1"))
    assert life.turn().outcome == "Succeeded"
    life.behave("bad:1", refusing("no such file or directory"))
    life.push(db=service("db:1"), bad=service("bad:1"), fine=service("fine:1"), last=service("last:1"))
    turn = life.turn()
    assert (turn.outcome, turn.reverted_to) == ("RolledBack", first)
    assert "shop/bad: " in turn.message
    assert life.running() == {"shop-db-1": "db:1"}
    assert list(life.ids()) == ["shop-db-1"]


def test_a_name_that_a_new_container_has_already_is_not_given_again() -> None:
    life = Life()
    life.push(db=service("db:1"))
    life.turn()
    assert not [line for line in life.machine.trace if line.startswith("rename")]


# -- what might be a one-shot, and runs ------------------------------------------------------------------------------


def staying(version: str, web: str) -> dict[str, dict[str, object]]:
    """A worker that has no restart policy, as a one-shot has none, but does not end by itself."""
    return {"worker": service(f"worker:{version}", health=False, restart="no"), "web": service(web)}


def test_what_ran_before_runs_again_though_nothing_says_that_it_is_to_go_on() -> None:
    life = Life()
    life.push(**staying("1", "web:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    before = life.machine.snapshot()
    life.behave("web:2", crashing(0.5))
    life.push(**staying("2", "web:2"))
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.machine.snapshot() == before
    assert life.running() == {"shop-worker-1": "worker:1", "shop-web-1": "web:1"}
    life.turn()
    assert life.effects == 0


def test_it_runs_again_after_a_kill_at_any_effect_of_its_way() -> None:
    n, died = 0, True
    while died:
        n += 1
        life = Life()
        life.push(**staying("1", "web:1"))
        assert life.turn().outcome is Outcome.SUCCEEDED
        life.behave("web:2", crashing(0.5))
        life.start(crash_at=n)
        life.push(**staying("2", "web:2"))
        died = life.turn_or_die() is None
        life.settle()
        assert life.running() == {"shop-worker-1": "worker:1", "shop-web-1": "web:1"}, n
    assert n > 15


def test_once_it_ends_by_itself_it_is_not_started_again() -> None:
    life = Life()
    life.push(**staying("1", "web:1"))
    life.turn()
    life.behave("web:2", crashing(0.5))
    life.push(**staying("2", "web:2"))
    assert life.turn().outcome is Outcome.ROLLED_BACK
    life.machine.exits("shop-worker-1", 0)
    for _ in range(3):
        life.start()
        life.turn()
    assert life.running() == {"shop-web-1": "web:1"}
