"""Compose features that a commit changes, on the machine in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from reconciler.model.outcome import Outcome, Reason
from reconciler.model.plan import Action
from tests.fakes.behaviour import (
    never_healthy,
    one_shot,
    refusing,
)
from tests.fakes.life import Life, document, service
from tests.loop.lives import assert_quiet, goes_down, proven, settled


def test_replicas_are_replaced_one_at_a_time() -> None:
    life = proven(web=service("web:1", deploy={"replicas": 3}))
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
    life = proven(web=service("web:1"))
    before = life.ids()
    life.push(web=service("web:1", deploy={"replicas": 3}))
    settled(life)
    assert life.ids().keys() == {"shop-web-1", "shop-web-2", "shop-web-3"}
    assert life.ids()["shop-web-1"] == before["shop-web-1"]
    life.push(web=service("web:1"))
    settled(life)
    assert life.ids() == before


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


def test_a_failing_one_shot_is_rolled_back() -> None:
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


def test_anonymous_volumes_are_taken_over() -> None:
    life = proven(web=service("web:1", volumes=[{"type": "volume", "target": "/cache"}]))
    before = life.machine.named("shop-web-1").mounts
    life.push(web=service("web:2", volumes=[{"type": "volume", "target": "/cache"}]))
    settled(life)
    assert life.machine.named("shop-web-1").mounts == before


def test_a_removed_service_goes_and_its_volume_stays() -> None:
    life = Life()
    data: dict[str, Any] = {"volumes": {"data": {}}}
    both = {"db": service("db:1", volumes=[{"type": "volume", "source": "data", "target": "/d"}])}
    life.push_model({"services": both | {"web": service("web:1")}} | data)
    settled(life)
    life.push_model({"services": {"web": service("web:1")}})
    settled(life)
    assert life.running() == {"shop-web-1": "web:1"}
    assert "shop_data" in life.machine.volumes


def test_a_removed_service_comes_back_when_the_rest_fails() -> None:
    life = proven(db=service("db:1"), web=service("web:1"), old=service("old:1"))
    before = life.machine.snapshot()
    life.behave("web:2", never_healthy())
    life.push(db=service("db:1"), web=service("web:2"))
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.machine.snapshot() == before


def test_an_always_pulled_image_is_pulled_with_each_new_commit() -> None:
    life = Life()
    life.push(web=service("web:1", pull_policy="always"))
    life.machine.registry["web:1"] = life.machine.images["web:1"]
    settled(life)
    life.push(web=service("web:1", pull_policy="always"), other=service("other:1"))
    settled(life)
    assert [step for step in life.machine.trace if step.startswith("pull")] == ["pull web:1", "pull web:1"]


def test_new_services_of_one_level_start_before_any_of_them_is_waited_for() -> None:
    life = Life()
    after: dict[str, Any] = {"after": {"db": "service_healthy"}}
    life.push(
        db=service("db:1"), cache=service("cache:1"), web=service("web:1", **after), worker=service("worker:1", **after)
    )
    assert life.turn().outcome == "Succeeded"
    acted = [(str(step.action), step.service) for step in life.steps]
    starts = [position for position, (action, _) in enumerate(acted) if action == "StartContainer"]
    assert [acted[position][1] for position in starts] == ["db", "cache", "web", "worker"], "the awaited one first"
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


def stacks(life: Life, **models: Mapping[str, Any]) -> str:
    """A commit with one file for each stack."""
    suspended = {name for name, model in models.items() if model.get("x-suspended")}
    document_ = json.loads(document(stacks=models))
    for item in document_["spec"]["stacks"]:
        item["suspended"] = item["name"] in suspended
        if item["name"] == "shop" and len(models) > 1:
            item["depends_on"] = [name for name in models if name != "shop"]
    for model in models.values():
        for one in model["services"].values():
            life.image(one["image"])
    files = {"desired-state/mini.yaml": json.dumps(document_)}
    files |= {f"{name}.yaml": json.dumps(model) for name, model in models.items()}
    return life.source.push(files | {"serial": str(len(life.source.commits))})


def test_a_suspended_stack_is_left_alone_and_resumed() -> None:
    life = Life()
    base, shop = {"services": {"db": service("db:1")}}, {"services": {"web": service("web:1")}}
    stacks(life, base=base, shop=shop)
    settled(life)
    db = life.machine.named("base-db-1")
    newer = {"services": {"web": service("web:2")}}
    stacks(life, base={"services": {"db": service("db:2")}, "x-suspended": True}, shop=newer)
    settled(life)
    assert life.machine.named("base-db-1") is db
    goes_down(life, "base-db-1")
    assert_quiet(life)
    stacks(life, base={"services": {"db": service("db:2")}}, shop={"services": {"web": service("web:2")}})
    settled(life)
    assert life.running() == {"base-db-1": "db:2", "shop-web-1": "web:2"}


def test_stacks_start_in_their_order() -> None:
    life = Life()
    stacks(life, base={"services": {"db": service("db:1")}}, shop={"services": {"web": service("web:1")}})
    settled(life)
    started = [step.service for step in life.steps if step.action is Action.START_CONTAINER]
    assert started == ["db", "web"]


def test_only_what_has_ended_ran_once() -> None:
    life = Life()
    life.behave("job:1", one_shot())
    job, stays = (service(image, health=False, restart="no") for image in ("job:1", "stays:1"))
    life.push(job=job, stays=stays, web=service("web:1"))
    settled(life)
    told = {item.service: item.action for item in life.cycle.history.attempts[-1].services}
    assert told == {"job": "RanOnce", "stays": "Created", "web": "Created"}
