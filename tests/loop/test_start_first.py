"""Services that are replaced start-first: at no moment do fewer containers serve than the document says, in a rollout
and a rollback."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model.outcome import Outcome, Reason
from reconciler.model.plan import Action
from tests.fakes.behaviour import Behaviour, crashing, healthy, never_healthy
from tests.fakes.life import GATE, Life, document, service
from tests.fakes.machine import Died, die
from tests.loop.lives import dies_before

WEB = ("shop", "web")


def web(version: str, update: dict[str, Any] | None = None, replicas: int = 1, **more: Any) -> dict[str, Any]:
    deploy = {"replicas": replicas, "update_config": {"order": "start-first", **(update or {})}}
    return service(f"web:{version}", deploy=deploy, **more)


def worker(version: str) -> dict[str, Any]:
    return service(f"worker:{version}", health=False, after={"web": "service_healthy"})


def begin(replicas: int = 1, **more: Any) -> Life:
    life = Life()
    life.push(web=web("1", replicas=replicas, **more), worker=worker("1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.machine.count(WEB)
    return life


def downtime(life: Life, name: str = "web") -> tuple[str, float]:
    record = next(item for item in life.cycle.history.last.services if item.service == name)  # type: ignore[union-attr]
    return record.action, record.downtime


def test_the_new_one_serves_before_the_old_one_stops() -> None:
    life = begin()
    life.push(web=web("2"), worker=worker("1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert (life.machine.fewest[WEB], life.machine.most[WEB]) == (1, 2)
    assert downtime(life) == ("Switched", 0.0)
    assert life.running()["shop-web-1"] == "web:2"
    life.turn()
    assert life.effects == 0


def test_a_commit_that_never_becomes_healthy_stops_nothing() -> None:
    life = begin()
    before = life.ids()["shop-web-1"]
    life.behave("web:2", never_healthy())
    life.push(web=web("2"), worker=worker("1"))
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.ROLLED_BACK, Reason.HEALTH_CHECK_FAILED)
    assert downtime(life)[1] == 0.0
    assert (life.ids()["shop-web-1"], life.machine.fewest[WEB]) == (before, 1)
    assert f"stop {before[:12]}" not in life.machine.trace
    life.turn()
    assert life.effects == 0


def test_the_way_back_has_no_downtime_either() -> None:
    life = begin()
    before = life.ids()["shop-web-1"]
    life.behave("worker:2", crashing(0.5))
    life.push(web=web("2"), worker=worker("2"))
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.machine.fewest[WEB] == 1
    assert downtime(life)[1] == 0.0
    assert downtime(life, "worker")[1] > 0
    assert life.ids()["shop-web-1"] == before
    assert f"stop {before[:12]}" in life.machine.trace
    life.turn()
    assert life.effects == 0


def test_an_outage_after_the_takeover_is_counted_until_the_standby_serves() -> None:
    life = begin()
    life.behave("web:2", Behaviour(health=((0.5, "healthy"), (3.5, "unhealthy"))))
    life.push(web=web("2"), worker=worker("1"))
    assert life.turn().outcome is Outcome.ROLLED_BACK
    seconds = downtime(life)[1]
    assert 5.0 <= seconds < 7.0, "unhealthy_grace of 5 s, and the start of the standby"


@pytest.mark.parametrize("event", ["kill", "push"])
def test_an_outage_goes_on_in_the_next_rollout(event: str) -> None:
    life = Life(interval=1.0)
    life.push(web=service("web:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.behave("web:2", healthy(4.0))
    life.behave("web:3", healthy(4.0))
    life.push(web=service("web:2"))
    life.during["WaitHealthy"] = die if event == "kill" else lambda: life.push(web=service("web:3"))
    try:
        assert life.turn().outcome is Outcome.SUCCEEDED
    except Died:
        life.start()
        assert life.turn().outcome is Outcome.SUCCEEDED
    action, seconds = downtime(life)
    assert action == "Switched"
    assert 3.0 <= seconds < 6.0


def test_the_next_rollout_counts_the_outage_of_one_that_was_killed_between_stop_and_rename() -> None:
    life = Life(interval=1.0)
    after = {"db": "service_healthy"}
    life.push(web=service("web:1", after=after), db=service("db:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.push(web=service("web:2", after=after), db=service("db:1"))
    dies_before(life, "rename")
    assert "shop-web-1" not in life.running()
    life.behave("db:2", healthy(4.0))
    life.push(web=service("web:1", after=after), db=service("db:2"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert 4.0 <= downtime(life)[1] < 8.0


def test_an_outage_begins_when_somebody_stops_the_old_one() -> None:
    life = begin()
    life.behave("web:2", healthy(4.0))
    life.push(web=web("2"), worker=worker("1"))
    life.during["WaitHealthy"] = lambda: life.machine.halt(life.machine.named("shop-web-1"), 1.0)
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert 3.0 <= downtime(life)[1] < 5.0


def test_a_one_shot_that_ends_before_it_is_replaced_is_not_down() -> None:
    life = Life(interval=1.0)
    job: dict[str, Any] = {"health": False, "restart": "no", "depends_on": {"web": {"condition": "service_healthy"}}}
    life.behave("job:1", Behaviour(exits_after=8.0, exit_code=0))
    life.behave("job:2", Behaviour(exits_after=0.0, exit_code=0))
    life.behave("web:2", healthy(20.0))
    life.push(web=service("web:1"), job=service("job:1", **job))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert "shop-job-1" in life.running()
    life.push(web=service("web:2"), job=service("job:2", **job))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert downtime(life, "job")[1] < 5.0


def test_a_newer_commit_stops_the_candidate_first_where_memory_suffices_for_two() -> None:
    life = Life(interval=1.0)
    life.document = document({**GATE, "healthy_deadline": "100s", "progress_deadline": "100s"}, budget="400MiB")
    life.push(web=web("1"), worker=worker("1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.machine.count(WEB)
    life.behave("web:2", healthy(50.0))
    life.push(web=web("2"), worker=worker("1"))
    life.during["WaitHealthy"] = lambda: life.push(web=web("3"), worker=worker("1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert (life.machine.fewest[WEB], life.machine.most[WEB]) == (1, 2)
    assert life.running()["shop-web-1"] == "web:3"


def test_replicas_are_replaced_some_at_a_time() -> None:
    life = begin(replicas=3)
    life.push(web=web("2", {"parallelism": 2, "delay": "5s"}, replicas=3), worker=worker("1"))
    begun = life.machine.clock.seconds
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert (life.machine.fewest[WEB], life.machine.most[WEB]) == (3, 5)
    assert life.machine.clock.seconds - begun >= 5.0 + 2 * 2.0
    assert sorted(name for name in life.running() if "web" in name) == [f"shop-web-{n}" for n in (1, 2, 3)]


def test_stop_first_replicas_leave_the_others_serving() -> None:
    life = begin(replicas=3)
    deploy = {"replicas": 3, "update_config": {"order": "stop-first", "parallelism": 2}}
    life.push(web=service("web:2", deploy=deploy), worker=worker("1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert (life.machine.fewest[WEB], life.machine.most[WEB]) == (1, 3)
    assert downtime(life) == ("Switched", 0.0)


def test_the_host_says_the_order_where_the_file_does_not() -> None:
    life = begin()
    spec = document().replace('"defaults": {', '"defaults": {"order": "start-first", ')
    life.document = spec
    life.push(web=service("web:2"), worker=worker("1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.machine.fewest[WEB] == 1


def test_what_can_exist_once_is_replaced_stop_first_and_plan_says_why() -> None:
    life = begin()
    ports = [{"mode": "ingress", "target": 80, "published": "8080", "protocol": "tcp"}]
    life.push(web=web("2", ports=ports), worker=worker("1"))
    _, plan = life.plan()
    [told] = plan["downtime"]
    assert (told["order"], told["why"]) == ("stop-first", "only one container can publish port 8080/tcp")
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.machine.fewest[WEB] == 0
    assert downtime(life)[1] > 0


def test_a_candidate_that_fails_during_the_drain_stops_nothing() -> None:
    life = begin()
    before = life.ids()["shop-web-1"]
    life.behave("web:2", crashing(1.5, times=None))
    slow = web("2", restart="no") | {"x-reconciler": {"drain": "30s"}}
    life.push(web=slow, worker=worker("1"))
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert (life.ids()["shop-web-1"], life.machine.fewest[WEB]) == (before, 1)
    assert f"stop {before[:12]}" not in life.machine.trace


@pytest.mark.parametrize("parallelism", [0, 1])
def test_without_a_health_check_a_candidate_that_ends_again_and_again_stops_nothing(parallelism: int) -> None:
    life = Life()
    life.push(web=web("1", replicas=3, health=False))
    life.turn()
    life.machine.count(WEB)
    life.behave("web:2", crashing(0.3))
    life.push(web=web("2", {"parallelism": parallelism}, replicas=3, health=False))
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.machine.fewest[WEB] == 3
    assert life.running() == {f"shop-web-{n}": "web:1" for n in (1, 2, 3)}


def test_without_networks_nobody_has_to_notice() -> None:
    life = Life()
    alone = {"networks": None, "network_mode": "none"}
    life.push(web=web("1") | alone)
    life.turn()
    life.push(web=web("2") | alone)
    life.steps.clear()
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert any(step.action is Action.STOP_CONTAINER for step in life.steps)
    assert not any(step.pause for step in life.steps)


def forward(life: Life) -> None:
    life.push(web=web("2", {"parallelism": 2}, replicas=3), worker=worker("1"))


def early_failure(life: Life) -> None:
    life.behave("web:2", never_healthy())
    forward(life)


def and_back(life: Life) -> None:
    life.behave("worker:2", crashing(0.5))
    life.push(web=web("2", {"parallelism": 2}, replicas=3), worker=worker("2"))


def scaled(life: Life) -> None:
    life.push(web=web("1", replicas=2), worker=worker("1"))
    life.settle()
    life.machine.count(WEB)
    life.push(web=web("2", replicas=3), worker=worker("1"))


@pytest.mark.parametrize("flow", [forward, early_failure, and_back, scaled])
def test_a_kill_at_any_effect_costs_no_replica(flow: Any) -> None:
    whole = begin(replicas=3)
    flow(whole)
    whole.settle()
    (floor, most), n, died = (2, 4) if flow is scaled else (3, 5), 0, True
    while died:
        n += 1
        life = begin(replicas=3)
        flow(life)
        life.start(crash_at=n)
        died = life.turn_or_die() is None
        life.turn()
        life.turn()
        assert life.machine.fewest[WEB] >= floor, (n, life.machine.trace[-30:])
        assert life.machine.most[WEB] <= most, (n, life.machine.trace[-30:])
        assert life.running() == whole.running(), n
        assert sorted(life.ids()) == sorted(whole.ids()), n
        life.turn()
        assert life.effects == 0, n
        assert not life.machine.overlaps
    assert n > 20
