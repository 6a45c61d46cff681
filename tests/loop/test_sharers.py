"""Names, networks and namespaces that services share."""

from __future__ import annotations

from reconciler.model.outcome import Outcome, Reason
from tests.fakes.behaviour import (
    crashing,
    never_healthy,
)
from tests.fakes.life import Life, service
from tests.loop.lives import assert_quiet, dies_before, goes_down, proven, settled, sharing


def test_those_that_share_a_namespace_switch_together() -> None:
    life = proven(app=service("app:1"), side=sharing("1"))
    life.push(app=service("app:2"), side=sharing("1"))
    settled(life)
    assert life.running() == {"shop-app-1": "app:2", "shop-side-1": "side:1"}
    app = life.machine.named("shop-app-1")
    assert life.machine.named("shop-side-1").network_mode == f"container:{app.id}"


def test_those_that_share_a_namespace_go_back_together() -> None:
    life = proven(app=service("app:1"), side=sharing("1"))
    before = life.machine.snapshot()
    life.behave("side:2", crashing(0.5))
    life.push(app=service("app:2"), side=sharing("2", restart="no"))
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.machine.snapshot() == before
    assert life.turn().exit_code == 1
    assert life.effects == 0


def test_a_namespace_owner_without_replicas_is_the_commits_fault() -> None:
    life = proven(app=service("app:1"), side=sharing("1"))
    bad = life.push(app=service("app:1", scale=0), side=sharing("2"))
    turn = life.turn()
    assert turn.reason is Reason.ENGINE_REFUSED, turn
    assert bad in life.cycle.history.quarantined
    assert life.running() == {"shop-app-1": "app:1", "shop-side-1": "side:1"}


def test_a_namespace_owner_that_somebody_removed_meanwhile_is_nobodys_verdict() -> None:
    life = proven(app=service("app:1"), side=sharing("1"))
    head = life.push(app=service("app:1"), side=sharing("2"))
    life.machine.containers.pop(life.ids()["shop-app-1"])
    settled(life)
    assert head not in life.cycle.history.quarantined
    assert life.running() == {"shop-app-1": "app:1", "shop-side-1": "side:2"}


def test_a_changed_network_is_replaced_under_its_services() -> None:
    life = proven(db=service("db:1"), web=service("web:1", after={"db": "service_healthy"}))
    model = {"services": {"db": service("db:1"), "web": service("web:1", after={"db": "service_healthy"})}}
    life.push_model(model | {"networks": {"default": {"internal": True}}})
    settled(life)
    network = life.machine.networks["shop_default"]
    assert {c.networks["shop_default"] for c in life.machine.containers.values()} == {network.id}
    assert life.machine.applier is not None


def test_a_changed_network_comes_back_with_its_services() -> None:
    life = proven(db=service("db:1"), web=service("web:1", after={"db": "service_healthy"}))
    before = life.machine.snapshot()
    life.behave("web:2", never_healthy())
    model = {"services": {"db": service("db:1"), "web": service("web:2", after={"db": "service_healthy"})}}
    life.push_model(model | {"networks": {"default": {"internal": True}}})
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.machine.snapshot() == before
    assert life.turn().exit_code == 1
    assert life.effects == 0


def test_a_container_name_is_kept() -> None:
    life = proven(web=service("web:1", container_name="the-web"))
    life.push(web=service("web:2", container_name="the-web"))
    settled(life)
    assert life.running() == {"the-web": "web:2"}


def test_a_container_name_moves_to_another_service() -> None:
    life = proven(web=service("web:1", container_name="front"), db=service("db:1"))
    life.push(proxy=service("proxy:1", container_name="front"), db=service("db:1"))
    settled(life)
    assert life.running() == {"front": "proxy:1", "shop-db-1": "db:1"}


def test_a_container_name_that_moved_comes_back() -> None:
    life = proven(web=service("web:1", container_name="front"), db=service("db:1"))
    before = life.machine.snapshot()
    life.behave("proxy:1", never_healthy())
    life.push(proxy=service("proxy:1", container_name="front"), db=service("db:1"))
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.machine.snapshot() == before


def test_container_names_are_swapped() -> None:
    life = proven(one=service("one:1", container_name="first"), two=service("two:1", container_name="second"))
    life.push(one=service("one:1", container_name="second"), two=service("two:1", container_name="first"))
    settled(life)
    assert life.running() == {"second": "one:1", "first": "two:1"}


def test_a_changed_network_moves_namespace_users_along() -> None:
    life = Life()
    model = {"services": {"app": service("app:1"), "side": sharing("1")}}
    life.push_model(model)
    settled(life)
    life.push_model(model | {"networks": {"default": {"internal": True}}})
    settled(life)
    app = life.machine.named("shop-app-1")
    assert life.machine.named("shop-side-1").network_mode == f"container:{app.id}"


def test_a_changed_network_with_namespace_users_comes_back() -> None:
    life = Life()
    model = {"services": {"app": service("app:1"), "side": sharing("1")}}
    life.push_model(model)
    settled(life)
    before = life.machine.snapshot()
    life.behave("app:2", never_healthy())
    model = {"services": {"app": service("app:2"), "side": sharing("1")}}
    life.push_model(model | {"networks": {"default": {"internal": True}}})
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.machine.snapshot() == before


def test_namespace_users_start_again_with_their_namespace_owner() -> None:
    """A namespace user has no network once its owner was started anew."""
    life = proven(app=service("app:1"), side=sharing("1"))
    goes_down(life, "shop-app-1")
    side = life.machine.named("shop-side-1")
    starts = side.starts
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert side.starts == starts + 1
    assert_quiet(life)


def test_a_namespace_user_keeps_its_anonymous_volume_when_its_namespace_owner_is_replaced() -> None:
    life = Life()
    cache = {"volumes": [{"type": "volume", "target": "/cache"}]}
    life.push(app=service("app:1"), side=sharing("1", **cache))
    settled(life)
    before = life.machine.named("shop-side-1").mounts
    life.push(app=service("app:2"), side=sharing("1", **cache))
    settled(life)
    assert life.machine.named("shop-side-1").mounts == before


def test_anonymous_volumes_of_replicas_survive_a_crash_on_a_replaced_network() -> None:
    life = Life()
    web = service("web:1", deploy={"replicas": 2}, volumes=[{"type": "volume", "target": "/cache"}])
    life.push_model({"services": {"web": web}})
    settled(life)
    before = {name: life.machine.named(name).mounts for name in ("shop-web-1", "shop-web-2")}
    life.push_model({"services": {"web": web}, "networks": {"default": {"internal": True}}})
    life.start()
    dies_before(life, "create network")
    life.turn()
    assert {name: life.machine.named(name).mounts for name in before} == before
    assert_quiet(life)


def test_a_namespace_user_starts_again_after_its_owner() -> None:
    """The engine restarts the owner by itself, and leaves the user in a network that is gone."""
    life = proven(app=service("app:1"), side=sharing("1"))
    life.machine.clock.seconds += 60
    life.machine.halt(life.machine.named("shop-app-1"), 10)
    life.machine.run(life.machine.named("shop-app-1"))
    before = life.ids()
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.SUCCEEDED, Reason.DRIFT_CORRECTED)
    assert "shop/side: app, whose namespace it uses, started after it" in turn.message
    assert life.ids() == before
    assert life.machine.named("shop-side-1").started_at > life.machine.named("shop-app-1").started_at
    assert_quiet(life)


def test_a_user_of_volumes_stays_when_their_owner_starts_again() -> None:
    life = proven(app=service("app:1"), side=service("side:1", volumes_from=["app"]))
    life.machine.clock.seconds += 60
    life.machine.halt(life.machine.named("shop-app-1"), 10)
    life.machine.run(life.machine.named("shop-app-1"))
    assert life.settle().outcome is Outcome.UNCHANGED
    assert life.machine.named("shop-side-1").starts == 1
