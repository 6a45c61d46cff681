"""No network is made with addresses that the machine, the engine or the agent uses, whatever was granted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.decide.plan.ranges import held
from reconciler.loop.prepare import Preparer
from reconciler.loop.turn import Turn
from reconciler.model.documents import Permissions
from reconciler.model.observed import ObservedNetwork
from reconciler.model.outcome import Outcome, Reason
from reconciler.model.plan import Action
from tests.fakes.behaviour import Behaviour
from tests.fakes.life import RULES, CanonicalRenderer, Life, service


class Pooled(Life):
    """The operator lets commits choose any subnet."""

    def ports(self) -> Any:
        pool = ("0.0.0.0/0", "::/0")
        rules = replace(RULES, permissions=Permissions(owner=True, address_pool=pool))
        return replace(super().ports(), preparer=Preparer(CanonicalRenderer(), rules))


def model(*subnets: str, image: str = "web:1") -> dict[str, Any]:
    pools = [{"subnet": text} for text in subnets]
    networks = {"lan": {"ipam": {"config": pools}}} if pools else {}
    return {"services": {"web": service(image, networks={"lan": None})}, "networks": networks}


def waits(life: Life, *words: str) -> Turn:
    before = life.machine.snapshot()
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.FAILED, Reason.DEPENDENCY_NOT_READY)
    assert all(word in turn.message for word in ("network shop_lan would take", *words))
    assert life.machine.snapshot() == before
    return turn


@pytest.mark.parametrize(
    ("used", "subnet"),
    [
        ("192.168.1.0/24", "192.168.1.0/24"),
        ("192.168.1.0/24", "192.168.0.0/16"),
        ("10.0.0.0/8", "10.7.0.0/24"),
        ("198.18.77.1", "198.18.77.0/29"),
        ("fd00:1::53", "fd00:1::/64"),
        ("192.168.1.1", "::ffff:192.168.1.0/120"),
    ],
)
def test_what_the_machine_uses_is_taken_by_no_network(used: str, subnet: str) -> None:
    life = Pooled()
    life.machine.addresses[used] = "the resolver of this test"
    life.push_model(model("172.30.0.0/24", subnet))
    waits(life, subnet, "in which lies the resolver of this test")
    waits(life, subnet)
    del life.machine.addresses[used]
    assert life.turn().outcome is Outcome.SUCCEEDED


def test_another_network_of_the_engine_is_named() -> None:
    life = Pooled()
    raw = {"IPAM": {"Config": [{"Subnet": "10.9.0.0/16"}]}}
    life.machine.networks["theirs"] = ObservedNetwork("n1", "theirs", raw=raw)
    life.push_model(model("10.9.3.0/24"))
    waits(life, "the network theirs of the engine")


def test_a_network_that_is_replaced_is_compared_too_and_not_with_itself() -> None:
    life = Pooled()
    life.push_model(model("10.9.3.0/24"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.machine.addresses["10.8.0.0/16"] = "the route to the VPN"
    life.push_model(model("10.8.3.0/24"))
    waits(life, "the route to the VPN")
    life.push_model(model("10.9.0.0/16"))
    assert life.turn().outcome is Outcome.SUCCEEDED


def test_what_stands_is_not_asked_for_again_and_what_has_no_choice_neither() -> None:
    life = Pooled()
    life.push_model(model("10.9.3.0/24"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.machine.addresses["0.0.0.0/1"] = life.machine.addresses["10.9.3.7"] = "the route of a VPN that came later"
    life.push_model(model("10.9.3.0/24", image="web:2"))
    assert life.turn().outcome is Outcome.SUCCEEDED


def test_a_network_that_was_removed_by_hand_is_not_made_again_over_a_new_route() -> None:
    life = Pooled()
    life.push_model(model("10.9.3.0/24"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.machine.vanishes("shop-web-1")
    del life.machine.networks["shop_lan"]
    life.machine.addresses["10.9.0.0/16"] = "the route to 10.9.0.0/16 (tun0)"
    waits(life, "tun0")


def two(first: str, second: str, *, key: str = "lan", bridge: str = "", image: str = "web:1") -> dict[str, Any]:
    """Two networks with a service in each."""
    options = {"driver_opts": {"com.docker.network.bridge.name": bridge}} if bridge else {}
    networks = {
        key: {"ipam": {"config": [{"subnet": first}]}, **options},
        "wan": {"ipam": {"config": [{"subnet": second}]}},
    }
    services = {"web": service(image, networks={key: None}), "db": service("db:1", networks={"wan": None})}
    return {"services": services, "networks": networks}


def ranges(life: Life) -> dict[str, str]:
    return {name: next(held(network)) for name, network in life.machine.networks.items()}


def test_ranges_can_be_exchanged_and_move_to_a_network_with_another_name() -> None:
    life = Pooled()
    life.push_model(two("10.9.1.0/24", "10.9.2.0/24"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.push_model(two("10.9.2.0/24", "10.9.1.0/24"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert ranges(life) == {"shop_lan": "10.9.2.0/24", "shop_wan": "10.9.1.0/24"}
    life.push_model(two("10.9.2.0/24", "10.9.1.0/24", key="other"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert ranges(life) == {"shop_other": "10.9.2.0/24", "shop_wan": "10.9.1.0/24"}
    assert life.turn().outcome is Outcome.UNCHANGED


def test_a_range_that_moved_returns_with_a_rollback() -> None:
    life = Pooled()
    life.push_model(two("10.9.1.0/24", "10.9.2.0/24"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.behave("web:2", Behaviour(exits_after=1.0, exit_code=1))
    life.push_model(two("10.9.1.0/24", "10.9.2.0/24", key="other", image="web:2"))
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert ranges(life) == {"shop_lan": "10.9.1.0/24", "shop_wan": "10.9.2.0/24"}
    assert life.turn().outcome is Outcome.UNCHANGED


def pool(text: str) -> dict[str, Any]:
    return {"ipam": {"config": [{"subnet": text}]}}


def test_a_service_that_is_removed_with_its_range_returns_with_a_rollback() -> None:
    life, wan = Pooled(), {"wan": pool("10.9.2.0/24")}
    db = service("db:1", networks={"wan": None})
    before = {"web": service("web:1", networks={"lan": None}), "db": db}
    life.push_model({"services": before, "networks": {"lan": pool("10.9.1.0/24"), **wan}})
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.behave("new:1", Behaviour(exits_after=1.0, exit_code=1))
    after = {"new": service("new:1", networks={"other": None}), "db": db}
    life.push_model({"services": after, "networks": {"other": pool("10.9.1.0/24"), **wan}})
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.running() == {"shop-web-1": "web:1", "shop-db-1": "db:1"}
    assert ranges(life) == {"shop_lan": "10.9.1.0/24", "shop_wan": "10.9.2.0/24"}


def test_who_only_joins_a_network_that_is_replaced_is_not_stopped_for_it() -> None:
    life = Pooled()
    order: dict[str, Any] = {"deploy": {"update_config": {"order": "start-first"}}}
    db = service("db:1", networks={"lan": None})
    before = {"web": service("web:1", networks={"own": None}, **order), "db": db}
    life.push_model({"services": before, "networks": {"own": {}, "lan": pool("10.9.1.0/24")}})
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.machine.count(("shop", "web"))
    after = {"web": service("web:2", networks={"own": None, "lan": None}, **order), "db": db}
    life.push_model({"services": after, "networks": {"own": {}, "lan": pool("10.9.2.0/24")}})
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.running() == {"shop-web-1": "web:2", "shop-db-1": "db:1"}
    assert life.machine.fewest["shop", "web"] == 1


def test_who_only_joins_the_network_that_takes_a_range_is_not_stopped_for_it() -> None:
    life, lan = Pooled(), {"lan": pool("10.9.1.0/24")}
    order: dict[str, Any] = {"deploy": {"update_config": {"order": "start-first"}}}
    before = {"web": service("web:1", networks={"lan": None}, **order), "db": service("db:1", networks={"wan": None})}
    life.push_model({"services": before, "networks": {**lan, "wan": pool("10.9.2.0/24")}})
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.machine.count(("shop", "web"))
    web = service("web:2", networks={"lan": None, "other": None}, **order)
    after = {"web": web, "db": service("db:1", networks={"lan": None})}
    life.push_model({"services": after, "networks": {**lan, "other": pool("10.9.2.0/24")}})
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert ranges(life) == {"shop_lan": "10.9.1.0/24", "shop_other": "10.9.2.0/24"}
    assert life.machine.fewest["shop", "web"] == 1


def test_the_engine_chooses_ranges_only_when_all_chosen_ones_are_taken() -> None:
    life = Pooled()
    nets = {"a": {}, "b": pool("10.9.1.0/24")}
    life.push_model({"services": {"web": service("web:1", networks=dict.fromkeys(nets))}, "networks": nets})
    assert life.turn().outcome is Outcome.SUCCEEDED
    nets = {"a": {"internal": True}, "b": pool("10.9.2.0/24"), "c": {}}
    life.push_model({"services": {"web": service("web:1", networks=dict.fromkeys(nets))}, "networks": nets})
    assert life.turn().outcome is Outcome.SUCCEEDED
    made = [line.rpartition("_")[2] for line in life.machine.trace if line.startswith("create network")]
    assert made[:2] == ["b", "a"]
    assert made[2:] in (["b", "a", "c"], ["b", "c", "a"])


def test_a_range_with_an_unmanaged_container_waits_and_nothing_stops() -> None:
    life = Pooled()
    life.push_model(two("10.9.1.0/24", "10.9.2.0/24"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    network = life.machine.networks["shop_lan"]
    life.machine.networks["shop_lan"] = replace(network, containers=frozenset({"theirs"}))
    before = life.machine.snapshot()
    life.push_model(two("10.9.2.0/24", "10.9.1.0/24"))
    assert life.turn().reason is Reason.DEPENDENCY_NOT_READY
    assert life.machine.snapshot() == before


@pytest.mark.parametrize("after", ["exchange", "another name"])
def test_a_rollback_stops_nothing_while_an_unmanaged_container_has_its_range(after: str) -> None:
    life = Pooled()
    life.push_model(two("10.9.1.0/24", "10.9.2.0/24"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.behave("web:2", Behaviour(exits_after=1.0, exit_code=1))
    exchanged = two("10.9.2.0/24", "10.9.1.0/24", image="web:2")
    life.push_model(exchanged if after == "exchange" else two("10.9.1.0/24", "10.9.2.0/24", key="new", image="web:2"))
    network = "shop_lan" if after == "exchange" else "shop_new"
    life.machine.add_foreign("theirs", 1)
    life.at_step = lambda: (
        life.machine.enters("theirs", network) if life.steps[-1].action is Action.START_CONTAINER else None
    )
    words = f"network {network} must be replaced or removed, and unmanaged containers are in it: theirs"
    for _ in range(2):
        turn = life.turn()
        assert (turn.outcome, turn.message) == (Outcome.FAILED, f"the rollback is blocked: {words}")
        assert life.running() == {"shop-db-1": "db:1"}
    life.machine.forget_foreign("theirs")
    life.at_step = lambda: None
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert ranges(life) == {"shop_lan": "10.9.1.0/24", "shop_wan": "10.9.2.0/24"}
    assert life.running() == {"shop-db-1": "db:1", "shop-web-1": "web:1"}


def test_a_bridge_of_another_network_is_named() -> None:
    life = Pooled()
    raw = {"Options": {"com.docker.network.bridge.name": "br0"}}
    life.machine.networks["theirs"] = ObservedNetwork("n1", "theirs", raw=raw)
    life.push_model(two("10.9.1.0/24", "10.9.2.0/24", bridge="br0"))
    turn = life.turn()
    assert turn.reason is Reason.DEPENDENCY_NOT_READY
    assert turn.message == "network shop_lan would take the bridge br0, which the network theirs has"
