"""Changes by hand to our containers are found and corrected; failed services are started again, but not for ever."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from reconciler.decide.status.revisions import warnings
from reconciler.loop.compare import SLOW
from reconciler.model.observed import Foreign
from reconciler.model.outcome import Outcome, Reason
from reconciler.model.status import Agent, SourceFacts, StatusFacts
from tests.fakes.behaviour import Behaviour, crashing
from tests.fakes.life import ROOT, Life, service
from tests.fakes.machine import FakeMachine
from tests.loop.lives import assert_quiet, dies_before, goes_down, proven, settled

MIB = 1 << 20
HEALTHY = Behaviour(health=((1.0, "healthy"),))
Tampering = Callable[[FakeMachine], None]


def running(**more: Any) -> Life:
    life = Life()
    life.behave("web:1", HEALTHY)
    life.push(web=service("web:1", **more), other=service("other:1", health=False))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.settle().outcome is Outcome.UNCHANGED
    return life


def told(life: Life, change: Tampering) -> tuple[str, bool]:
    """The message of the turn that finds it, and whether the container was replaced then."""
    before = life.ids()["shop-web-1"]
    change(life.machine)
    life.start()  # a new process compares everything once
    turn = life.turn()
    assert (turn.outcome, turn.reason, turn.exit_code) == (Outcome.SUCCEEDED, Reason.DRIFT_CORRECTED, 0), turn
    assert life.settle().outcome is Outcome.UNCHANGED
    assert set(life.running()) == {"shop-web-1", "shop-other-1"}
    assert not [name for name in life.ids() if name.endswith(".standby")]
    return turn.message, life.ids()["shop-web-1"] != before


def with_data(**more: Any) -> Life:
    life = Life()
    db = service("db:1", volumes=[{"type": "volume", "source": "data", "target": "/data"}])
    life.push_model({"services": {"db": db}, "volumes": {"data": {}} | more})
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.settle().outcome is Outcome.UNCHANGED
    return life


def loses_data(life: Life) -> None:
    life.machine.vanishes("shop-db-1")
    del life.machine.volumes["shop_data"]


def told_as_lost(life: Life) -> list[tuple[str, str]]:
    """Rule and message of the warning in the history's newest entry and in the status."""
    attempt = life.cycle.history.attempts[-1]
    facts = StatusFacts("mini", Agent(False), SourceFacts("", "main", life.source.newest), life.cycle.history)
    found = [(item.rule, item.message) for item in attempt.warnings if item.rule == "volume-made-anew"]
    assert found == [(item.rule, item.message) for item in warnings(facts) if item.rule == "volume-made-anew"]
    return found


LOST = [("volume-made-anew", "volume shop_data was made anew and is empty: somebody had removed it")]


def test_a_volume_that_somebody_removed_is_told_as_empty() -> None:
    life = with_data()
    assert told_as_lost(life) == []
    assert not [item for item in life.steps if "removed this volume" in item.cause]
    loses_data(life)
    turn = life.turn()
    assert (turn.outcome, turn.message) == (
        Outcome.SUCCEEDED,
        "corrected: shop/shop_data: somebody removed this volume: it is made anew and is empty; "
        "shop/db: its container is gone",
    )
    assert told_as_lost(life) == LOST
    life.start()
    life.settle()
    assert told_as_lost(life) == LOST  # until another commit is good
    life.push(db=service("db:2"))
    life.turn()
    assert told_as_lost(life) == []


@pytest.mark.parametrize("good", [True, False])
def test_a_commit_that_meets_the_loss_of_a_volume_tells_it(good: bool) -> None:
    life = with_data()
    loses_data(life)
    life.behave("db:2", HEALTHY if good else crashing(0.1))
    db = service("db:2", volumes=[{"type": "volume", "source": "data", "target": "/data"}])
    more = {"type": "volume", "source": "more", "target": "/more"}
    life.push_model({"services": {"db": db | {"volumes": [*db["volumes"], more]}}, "volumes": {"data": {}, "more": {}}})
    assert life.turn().outcome is (Outcome.SUCCEEDED if good else Outcome.ROLLED_BACK)
    assert told_as_lost(life) == LOST


def test_a_process_that_dies_at_the_loss_has_told_it() -> None:
    life = with_data()
    loses_data(life)
    dies_before(life, "create volume")
    life.settle()
    lost = [item.rule for attempt in life.cycle.history.attempts for item in attempt.warnings]
    assert "volume-made-anew" in lost


def test_a_volume_whose_data_lies_elsewhere_is_not_told_as_empty() -> None:
    life = with_data(data={"driver_opts": {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}})
    loses_data(life)
    assert life.turn().message == "corrected: shop/db: its container is gone"
    assert told_as_lost(life) == []


CORRECTED_IN_PLACE: dict[str, tuple[Tampering, str]] = {
    "memory": (lambda m: m.is_updated("shop-web-1", memory=512 * MIB),
               "corrected: shop/web: memory 512 MiB instead of 64 MiB"),
    "pids": (lambda m: m.is_updated("shop-web-1", pids=9), "corrected: shop/web: pids 9 instead of without limit"),
    "restart": (lambda m: m.is_updated("shop-web-1", restart="no"),
                "corrected: shop/web: restart policy no instead of unless-stopped"),
    "pause": (lambda m: m.pauses("shop-web-1"), "corrected: shop/web: it is paused"),
    "network": (lambda m: m.leaves("shop-web-1", "shop_default"),
                "corrected: shop/web: network shop_default: not connected"),
    "rename": (lambda m: setattr(m.named("shop-web-1"), "name", "mine"), "corrected: shop/web: it is called mine"),
    "stop": (lambda m: m.halt(m.named("shop-web-1"), 10),
             "corrected: shop/web: it is not running"),
}  # fmt: skip


@pytest.mark.parametrize("kind", CORRECTED_IN_PLACE)
def test_the_container_stays_where_it_can(kind: str) -> None:
    change, words = CORRECTED_IN_PLACE[kind]
    assert told(running(), change) == (words, False)


REPLACED: dict[str, tuple[Tampering, str]] = {
    "privileged": (lambda m: m.is_updated("shop-web-1", privileged=True), "privileged on instead of off"),
    "cpus": (lambda m: m.is_updated("shop-web-1", cpus=10**9), "cpus 1 instead of without limit"),
    "environment": (lambda m: m.is_updated("shop-web-1", environment={"A": "secret"}), "environment: unexpected A"),
    "gone": (lambda m: m.vanishes("shop-web-1"), "its container is gone"),
}


@pytest.mark.parametrize("kind", REPLACED)
def test_the_service_is_made_anew_where_nothing_else_helps(kind: str) -> None:
    change, words = REPLACED[kind]
    message, replaced = told(running(), change)
    assert replaced
    assert message.startswith(f"corrected: shop/web: {words}")


def test_containers_that_somebody_else_brought_up() -> None:
    """`docker compose up --scale web=2` by hand makes our services anew, without our labels: one stays, one is
    removed."""
    life = running()
    own = life.machine.named("shop-web-1")
    del life.machine.containers[own.id]
    for number in (1, 2):
        name = f"shop-web-{number}"
        life.machine.containers[name] = replace(own, id=name, name=name, number=number, host=None, spec=None)
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.SUCCEEDED, Reason.DRIFT_CORRECTED), turn
    assert life.settle().outcome is Outcome.UNCHANGED
    assert set(life.running()) == {"shop-web-1", "shop-other-1"}


def test_nothing_is_compared_without_a_reason() -> None:
    life = running()
    asked: list[int] = []
    details = life.machine.observer.details
    life.machine.observer.details = lambda ids: asked.append(1) or details(ids)  # type: ignore[method-assign]
    life.turn()
    life.turn()
    assert not asked
    life.machine.is_updated("shop-web-1", memory=512 * MIB)
    life.machine.advance(SLOW)
    assert life.turn().reason is Reason.DRIFT_CORRECTED


def test_an_engine_that_makes_containers_otherwise_is_not_fought() -> None:
    """A comparison may be wrong about an unknown engine; this costs one container, not one a minute."""
    life = Life()
    life.behave("web:1", HEALTHY)
    create = life.machine.applier.create

    def otherwise(*given: Any) -> None:
        create(*given)
        for item in life.machine.containers.values():
            item.facts["init"] = item.facts["privileged"] = True

    life.machine.applier.create = otherwise  # type: ignore[method-assign,assignment]
    life.push(web=service("web:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.turn().reason is Reason.DRIFT_CORRECTED
    assert life.turn().outcome is Outcome.UNCHANGED
    life.start()
    assert life.turn().outcome is Outcome.UNCHANGED
    life.machine.is_updated("shop-web-1", memory=512 * MIB)
    life.start()
    assert life.turn().reason is Reason.DRIFT_CORRECTED


def test_drift_is_no_matter_of_a_commit() -> None:
    """A commit replaces what it changes; a change by hand to another service is corrected by the next turn."""
    life = running()
    life.machine.is_updated("shop-web-1", privileged=True)
    life.image("other:2")
    before = life.ids()["shop-web-1"]
    life.push(web=service("web:1"), other=service("other:2", health=False))
    assert life.turn().reason is Reason.RECONCILIATION_SUCCEEDED
    assert life.ids()["shop-web-1"] == before
    assert life.turn().reason is Reason.DRIFT_CORRECTED
    assert life.ids()["shop-web-1"] != before


def test_changed_secrets_are_no_drift() -> None:
    life = running()
    life.store.stale.update(life.store.states)
    life.machine.is_updated("shop-web-1", environment={"TOKEN": "of before"})
    life.push(web=service("web:1"), other=service("other:1", health=False, mem_limit=str(9 << 30)))
    life.start()
    assert life.turn().outcome is Outcome.REJECTED
    assert "shop-web-1" in life.running()
    life.start()
    assert life.turn().outcome is Outcome.UNCHANGED


def test_crash_at_every_effect_of_a_repair() -> None:
    effect = 0
    while effect < 40:
        effect += 1
        life = running()
        life.machine.is_updated("shop-web-1", privileged=True, memory=512 * MIB)
        life.machine.leaves("shop-other-1", "shop_default")
        life.machine.pauses("shop-other-1")
        life.start(crash_at=effect)
        died = life.turn_or_die() is None
        life.start()
        life.settle()
        assert set(life.running()) == {"shop-web-1", "shop-other-1"}
        assert life.machine.named("shop-web-1").facts["privileged"] is False
        assert life.machine.named("shop-other-1").networks
        if not died:
            return
    raise AssertionError("a repair without end")


# -- what ails -------------------------------------------------------------------------------------------------------


def ailing(restart: str = "unless-stopped") -> Life:
    """web is good for a minute after each start, and unhealthy from then on."""
    life = Life()
    life.behave("web:1", Behaviour(health=((1.0, "healthy"), (60.0, "unhealthy"))))
    life.push(web=service("web:1", restart=restart), other=service("other:1", health=False))
    assert life.turn().outcome is Outcome.SUCCEEDED
    return life


def test_an_unhealthy_container_is_started_again_after_its_grace() -> None:
    life = ailing()
    before = life.ids()
    life.machine.advance(60)
    turn = life.turn()
    assert turn.outcome is Outcome.UNCHANGED, "its grace is 5 s"
    assert turn.until == life.machine.clock.now() + 5, "the agent looks when it is over"
    life.machine.advance(5)
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.SUCCEEDED, Reason.DRIFT_CORRECTED)
    assert turn.message.startswith("corrected: shop/web: unhealthy for ")
    assert life.ids() == before
    assert life.machine.named("shop-web-1").starts == 2
    assert life.machine.named("shop-web-1").restart == "unless-stopped"


def test_it_is_given_up_after_five_starts_and_stays_so() -> None:
    life = ailing()
    for _ in range(200):
        life.machine.advance(10)
        life.start()  # another process decides the same
        turn = life.turn()
    assert life.machine.named("shop-web-1").starts == 6
    assert (turn.outcome, turn.reason, turn.exit_code) == (Outcome.UNCHANGED, Reason.HEALTH_CHECK_FAILED, 1)
    assert turn.message == (
        "shop/web is unhealthy; after 5 starts within 10 minutes it is left alone until it stays healthy"
    )
    life.behave("web:2", HEALTHY)
    life.push(web=service("web:2"), other=service("other:1", health=False))
    assert life.turn().exit_code == 0


def test_a_start_that_something_else_prevents_does_not_count() -> None:
    """If a disk or a port is missing for long, the agent waits so long."""
    life = proven(web=service("web:1", ports=[{"target": 80, "published": "8080", "protocol": "tcp"}]))
    goes_down(life, "shop-web-1")
    life.machine.foreign["other"] = Foreign("f" * 64, "other", 0, life.machine.named("shop-web-1").ports)
    for _ in range(200):
        life.machine.advance(10)
        life.start()
        assert life.turn().outcome is not Outcome.UNCHANGED
    del life.machine.foreign["other"]
    life.machine.advance(720)
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.running() == {"shop-web-1": "web:1"}


def test_by_itself_it_is_trusted_again() -> None:
    life = ailing()
    for _ in range(60):
        life.machine.advance(10)
        life.turn()
    assert life.cycle.history.backoffs["shop", "web"].given_up
    life.machine.turns("shop-web-1", "healthy")
    life.machine.advance(600)
    life.turn()
    assert not life.cycle.history.backoffs


def test_an_ended_container_is_started_with_growing_pauses() -> None:
    """Its policy is no, so the engine does not restart it, and we do so with growing pauses."""
    life = Life()
    life.behave("web:1", Behaviour(health=((1.0, "healthy"),), exits_after=30.0, exit_code=3))
    life.push(web=service("web:1", restart="no", ports=[{"target": 80, "published": "8080"}]))
    assert life.turn().outcome is Outcome.SUCCEEDED
    for _ in range(300):
        life.machine.advance(5)
        turn = life.turn(patient=True)
    assert life.machine.named("shop-web-1").starts <= 6
    assert turn.message.startswith("shop/web is down (exit code 3); after 5 starts")


def test_starts_before_the_clock_was_set_back_delay_nothing() -> None:
    """A machine without a battery may start in any year."""
    life = proven(web=service("web:1"))
    for _ in range(3):
        goes_down(life, "shop-web-1")
        life.settle()
        life.machine.advance(60)
    life.machine.clock.offset -= 10 * 366 * 86_400.0
    goes_down(life, "shop-web-1")
    life.start()
    assert life.turn(patient=True).reason is Reason.DRIFT_CORRECTED
    assert len(life.cycle.history.backoffs["shop", "web"].times) == 1


def test_what_the_engine_restarts_is_left_to_it() -> None:
    life = Life()
    life.behave("web:1", HEALTHY)
    life.push(web=service("web:1", restart="always"))
    life.turn()
    life.settle()
    life.behave("web:1", Behaviour(exits_after=1.0, exit_code=1))
    life.machine.exits("shop-web-1", 1)
    before = len(life.machine.trace)
    for _ in range(50):
        life.machine.advance(7)
        life.turn()
    ours = [effect for effect in life.machine.trace[before:] if not effect.startswith(("journal", "note"))]
    assert not ours


def test_a_container_that_cannot_start_any_more_is_made_anew() -> None:
    life = running()
    before = life.ids()["shop-web-1"]
    container = life.machine.named("shop-web-1")
    life.machine.halt(container, 1)
    start = life.machine.applier.start

    def refusing(id: str) -> None:
        if id == before:
            from tests.fakes.applier import _refused

            life.machine.effects.point("start")
            raise _refused("task already exists", Reason.ENGINE_REFUSED)
        start(id)

    life.machine.applier.start = refusing  # type: ignore[method-assign,assignment]
    assert life.turn().outcome is Outcome.FAILED
    assert life.settle().outcome is Outcome.UNCHANGED
    assert life.ids()["shop-web-1"] != before
    assert set(life.running()) == {"shop-web-1", "shop-other-1"}


def test_last_good_is_looked_after_while_the_head_cannot_be_judged() -> None:
    life = running()
    life.machine.add_foreign("theirs", 64 * MIB, [("0.0.0.0", 8080, "tcp")])
    life.push(web=service("web:2", ports=[{"target": 80, "published": "8080"}]), other=service("other:1", health=False))
    life.machine.halt(life.machine.named("shop-other-1"), 1.0)
    assert life.turn().outcome is Outcome.FAILED
    assert set(life.running()) == {"shop-web-1", "shop-other-1"}


def waiting_for_an_image() -> Life:
    """The head's image cannot be pulled now, and the agent waits before the next try."""
    life = running()
    life.push(web=service("far:1"), other=service("other:1", health=False))
    life.machine.registry["far:1"] = life.machine.images.pop("far:1")
    life.machine.registry_away = True
    assert life.turn().outcome is Outcome.FAILED
    assert life.turn(patient=True).outcome is Outcome.HELD
    return life


def test_last_good_is_looked_after_while_the_head_waits_to_be_tried_again() -> None:
    life = waiting_for_an_image()
    life.machine.vanishes("shop-other-1")
    assert life.turn(patient=True).outcome is Outcome.HELD
    assert set(life.running()) == {"shop-web-1", "shop-other-1"}


def test_a_repair_that_failed_meanwhile_is_waited_for_like_the_head() -> None:
    life = waiting_for_an_image()
    life.machine.vanishes("shop-other-1")
    life.behave("other:1", Behaviour(exits_after=0.1, exit_code=1))
    assert life.turn(patient=True).outcome is Outcome.HELD
    before = len(life.machine.trace)
    assert life.turn(patient=True).outcome is Outcome.HELD
    assert life.machine.trace[before:] == []
    life.machine.registry_away = False
    life.behave("other:1", Behaviour())
    life.machine.advance(60)
    assert life.turn(patient=True).outcome is Outcome.SUCCEEDED
    assert life.running() == {"shop-web-1": "far:1", "shop-other-1": "other:1"}


def test_what_somebody_brought_up_stands_in_the_way_of_no_commit() -> None:
    """It is a container of last good; the commit drops its service and changes its network."""
    life = running()
    own = life.machine.named("shop-other-1")
    life.machine.vanishes(own.name)
    life.machine.containers["theirs"] = replace(own, id="theirs", host=None, spec=None)
    model = {"services": {"web": service("web:1")}, "networks": {"default": {"internal": True}}}
    life.push_model(model)
    life.turn()
    assert life.settle().outcome is Outcome.UNCHANGED
    assert set(life.running()) == {"shop-web-1"}


def test_files_that_were_deleted_while_containers_mount_them_are_brought_back_to_them() -> None:
    life = Life()
    mounts = [{"type": "bind", "source": f"{ROOT}/site", "target": "/site", "read_only": True}]
    life.push_model(
        {"services": {"web": service("web:1", volumes=mounts), "db": service("db:1")}}, **{"site/index.html": "hello"}
    )
    settled(life)
    web, db = life.machine.named("shop-web-1"), life.machine.named("shop-db-1")
    starts, others = web.starts, db.starts
    life.machine.trees.clear()
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.SUCCEEDED, Reason.DRIFT_CORRECTED)
    assert turn.message == "corrected: shop/web: the files that it mounts were deleted"
    assert (web.starts, db.starts, web.state) == (starts + 1, others, "running")
    assert_quiet(life)
