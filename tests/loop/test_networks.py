"""Networks that several stacks use, that are replaced, or that somebody has removed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from reconciler.model.documents import Grant
from reconciler.model.observed import ObservedNetwork, ObservedVolume
from reconciler.model.outcome import Outcome, Reason
from tests.fakes.behaviour import crashing
from tests.fakes.life import Life, document, service
from tests.loop.lives import assert_quiet, proven, settled

GRANTED = (Grant(policy="external-network", stack="*", service="*", reason="the network of the proxy"),)


class Neighbours(Life):
    """Stack shop owns the network edge, and stack blog uses it as an external one."""

    def __init__(self) -> None:
        super().__init__(grants=GRANTED)
        self.document = document(stacks=("shop", "blog"))

    def change(self, blog: dict[str, Any] | None = None, **edge: Any) -> None:
        """`edge`: the network's definition. `blog`: its service web."""
        self.image("web:1")
        networks = {"edge": {"name": "edge", **edge}}
        web = blog or service("web:1", networks={"edge": None})
        user = {"services": {"web": web}, "networks": {"edge": {"name": "edge", "external": True}}}
        owner = {"services": {"proxy": service("proxy:1", networks={"edge": None})}, "networks": networks}
        self.push_model(owner, **{"blog.yaml": json.dumps(user)})


def test_a_replaced_network_takes_the_users_of_other_stacks_along() -> None:
    life = Neighbours()
    life.change()
    settled(life)
    life.change(internal=True)
    settled(life)
    edge = life.machine.networks["edge"].id
    assert {item.networks["edge"] for item in life.machine.containers.values()} == {edge}
    assert set(life.running()) == {"shop-proxy-1", "blog-web-1"}


def test_it_comes_back_for_them_with_a_bad_commit() -> None:
    life = Neighbours()
    life.change()
    settled(life)
    life.behave("bad:1", crashing(0.5))
    life.image("bad:1")
    life.change(service("bad:1", networks={"edge": None}), internal=True)
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert set(life.running().values()) == {"proxy:1", "web:1"}
    edge = life.machine.networks["edge"].id
    assert {item.networks["edge"] for item in life.machine.containers.values()} == {edge}
    life.turn()
    assert_quiet(life)


def test_a_network_that_another_stack_uses_is_not_removed() -> None:
    life = Neighbours()
    life.change()
    settled(life)
    life.document = document(stacks=("blog",))
    user = {
        "services": {"web": service("web:1", networks={"edge": None})},
        "networks": {"edge": {"name": "edge", "external": True}},
    }
    before = len(life.machine.trace)
    life.push_model({"services": {}}, **{"blog.yaml": json.dumps(user)})
    assert life.settle().outcome is Outcome.UNCHANGED
    assert not [item for item in life.machine.trace[before:] if item.startswith("remove network")]
    assert "edge" in life.machine.networks


def test_an_external_network_that_is_not_there_is_named() -> None:
    life = Neighbours()
    life.document = document(stacks=("blog",))
    life.image("web:1")
    user = {
        "services": {"web": service("web:1", networks={"edge": None})},
        "networks": {"edge": {"name": "edge", "external": True}},
    }
    life.push_model({"services": {}}, **{"blog.yaml": json.dumps(user)})
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.FAILED, Reason.DEPENDENCY_NOT_READY)
    assert turn.message == "blog/web uses the external network edge, which does not exist"
    assert turn.hint == "docker network create edge"


def test_network_mode_may_name_the_id_of_a_network() -> None:
    found = "0123456789abcdef" * 4
    life = Life(grants=(Grant("external-network", "shop", "*", "tested", (found, found[:12])),))
    life.machine.networks["edge"] = ObservedNetwork(found, "edge")
    for name in (found, found[:12]):
        life.push(web=service("web:1", network_mode=name))
        turn = life.turn()
        assert turn.outcome is Outcome.SUCCEEDED, turn.message


def test_an_external_volume_that_is_not_there_is_named_and_nothing_is_stopped() -> None:
    granted = Grant(policy="external-volume", stack="shop", service="*", reason="tested", values=("films",))
    life = Life(grants=(granted,))
    life.push(web=service("web:1"))
    life.turn()
    before = life.machine.snapshot()
    mounts = [{"type": "volume", "source": "films", "target": "/films"}]
    model = {
        "services": {"web": service("web:2", volumes=mounts)},
        "volumes": {"films": {"name": "films", "external": True}},
    }
    life.push_model(model)
    for _ in range(2):
        turn = life.turn()
        assert (turn.outcome, turn.reason, turn.attempt) == (Outcome.FAILED, Reason.DEPENDENCY_NOT_READY, None), turn
        assert turn.message == "shop/web uses the external volume films, which does not exist"
        assert turn.hint == "docker volume create films"
        assert life.machine.snapshot() == before
    life.machine.volumes["films"] = ObservedVolume("films")
    assert life.turn().outcome is Outcome.SUCCEEDED


def test_a_network_that_network_mode_names_must_be_there() -> None:
    grant = Grant(policy="external-network", stack="shop", service="*", reason="tested", values=("edge",))
    life = Life(grants=(grant,))
    life.push(web=service("web:1"))
    life.turn()
    before = life.machine.snapshot()
    life.push(web=service("web:1", network_mode="edge"))
    turn = life.turn()
    assert (turn.reason, turn.attempt, life.machine.snapshot()) == (Reason.DEPENDENCY_NOT_READY, None, before), turn
    assert turn.message == "shop/web uses the external network edge, which does not exist"
    assert turn.hint == "docker network create edge"


def test_an_unmanaged_container_whose_network_a_service_uses_must_run() -> None:
    grant = Grant(policy="foreign-container", stack="shop", service="*", reason="tested", values=("container:vpn",))
    life = Life(grants=(grant,))
    life.push(web=service("web:1"))
    life.turn()
    before = life.machine.snapshot()
    life.push(web=service("web:1", network_mode="container:vpn"))
    for _ in range(2):
        turn = life.turn()
        assert (turn.outcome, turn.reason, turn.attempt) == (Outcome.FAILED, Reason.DEPENDENCY_NOT_READY, None), turn
        assert turn.message == "shop/web needs the container vpn (network_mode), which does not run"
        assert turn.hint == "docker start vpn; it is tried again by itself"
        assert life.machine.snapshot() == before
    life.machine.add_foreign("vpn", 1 << 20)
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.settle().outcome is Outcome.UNCHANGED
    made = life.ids()
    life.machine.advance(60)
    life.machine.foreign["vpn"] = replace(life.machine.foreign["vpn"], started_at=life.machine.clock.text(1))
    life.machine.advance(5)
    assert "vpn, whose namespace it uses, started after it" in life.turn().message
    assert (life.settle().outcome, life.ids()) == (Outcome.UNCHANGED, made)
    life.machine.advance(60)
    life.machine.add_foreign("vpn", 1 << 20)
    turn = life.turn()
    assert turn.outcome is Outcome.SUCCEEDED
    assert "the container whose namespace it uses was made anew" in turn.message
    assert life.ids() != made, "the engine keeps the id of the old one"
    assert life.settle().outcome is Outcome.UNCHANGED


def test_containers_join_a_network_that_was_made_again() -> None:
    life = proven(a=service("a:1"), b=service("b:1"))
    for name in ("shop-a-1", "shop-b-1"):
        life.machine.halt(life.machine.named(name), 10)
    del life.machine.networks["shop_default"]
    assert life.settle().outcome is Outcome.UNCHANGED
    assert set(life.running()) == {"shop-a-1", "shop-b-1"}
    assert_quiet(life)


def test_a_container_that_is_bound_to_the_id_of_a_network_is_made_anew() -> None:
    life = Neighbours()
    life.change()
    settled(life)
    web = life.machine.named("blog-web-1")
    life.machine.halt(web, 10)
    life.machine.halt(life.machine.named("shop-proxy-1"), 10)
    del life.machine.networks["edge"]
    assert life.settle().outcome is Outcome.UNCHANGED
    assert set(life.running()) == {"shop-proxy-1", "blog-web-1"}
    assert life.machine.named("blog-web-1").id != web.id
