"""Exclusive resources move to another service in one commit: ports, addresses, volumes, also in circles."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reconciler.model.documents import Grant
from reconciler.model.outcome import Outcome, Reason
from tests.fakes.behaviour import crashing
from tests.fakes.life import Life, document, service
from tests.loop.lives import assert_quiet, settled

SUBNET = "10.9.0.0/24"


def publishing(image: str, port: int | str, address: str = "", **more: Any) -> dict[str, Any]:
    entry = {"mode": "ingress", "target": 80, "published": str(port), "protocol": "tcp"}
    return service(image, ports=[entry | ({"host_ip": address} if address else {})], **more)


def at(image: str, address: str) -> dict[str, Any]:
    return service(image, networks={"lan": {"ipv4_address": address}})


def writing(image: str, *volumes: str) -> dict[str, Any]:
    mounts = [{"type": "volume", "source": name, "target": f"/{name}"} for name in volumes]
    return service(image, **(dict[str, Any](volumes=mounts) if mounts else {}))


def moved(before: dict[str, Any], after: dict[str, Any]) -> Life:
    """A life in which the second commit follows the proven first one; `before` and `after`: services."""
    life = Life(grants=[Grant("network-subnet", "shop", "*", "they have addresses", (SUBNET,))])
    more = {"volumes": {"data": {}, "other": {}}, "networks": {"lan": {"ipam": {"config": [{"subnet": SUBNET}]}}}}
    life.push_model({"services": before} | more)
    settled(life)
    life.push_model({"services": after} | more)
    return life


MOVES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "two swap ports": (
        {"a": publishing("a:1", 8001), "b": publishing("b:1", 8002)},
        {"a": publishing("a:1", 8002), "b": publishing("b:1", 8001)},
    ),
    "three in a circle": (
        {"a": publishing("a:1", 8001), "b": publishing("b:1", 8002), "c": publishing("c:1", 8003)},
        {"a": publishing("a:1", 8002), "b": publishing("b:1", 8003), "c": publishing("c:1", 8001)},
    ),
    "a port goes to a new service": (
        {"a": publishing("a:1", 8001)},
        {"a": publishing("a:1", 8002), "b": publishing("b:1", 8001)},
    ),
    "a port goes to a service that others wait for": (
        {"a": publishing("a:1", 8001), "b": service("b:1")},
        {"a": publishing("a:1", 8002, after={"b": "service_healthy"}), "b": publishing("b:1", 8001)},
    ),
    "a port comes from a removed service": (
        {"a": publishing("a:1", 8001), "b": publishing("b:1", 8002)},
        {"a": publishing("a:1", 8002)},
    ),
    "a port goes from one address to every address": (
        {"a": publishing("a:1", 8001, "::1"), "z": service("z:1")},
        {"a": publishing("a:1", 8002), "z": publishing("z:1", 8001, after={"a": "service_started"})},
    ),
    "two swap addresses": (
        {"a": at("a:1", "10.9.0.5"), "b": at("b:1", "10.9.0.6")},
        {"a": at("a:1", "10.9.0.6"), "b": at("b:1", "10.9.0.5")},
    ),
    "an address goes to a new service": (
        {"a": at("a:1", "10.9.0.5")},
        {"a": at("a:1", "10.9.0.6"), "b": at("b:1", "10.9.0.5")},
    ),
    "a volume goes to another service": (
        {"a": writing("a:1"), "z": writing("z:1", "data")},
        {"a": writing("a:1", "data"), "z": writing("z:1")},
    ),
    "a volume goes to a new service": (
        {"z": writing("z:1", "data")},
        {"a": writing("a:1", "data"), "z": writing("z:1")},
    ),
    "two swap volumes": (
        {"a": writing("a:1", "data"), "z": writing("z:1", "other")},
        {"a": writing("a:1", "other"), "z": writing("z:1", "data")},
    ),
}


def assert_held_by_one_at_a_time(life: Life) -> None:
    assert not life.machine.overlaps


@pytest.mark.parametrize("move", MOVES)
def test_it_changes_hands(move: str) -> None:
    life = moved(*MOVES[move])
    life.machine.exclusive = frozenset({"shop_data", "shop_other"})
    settled(life)
    assert set(life.running()) == {f"shop-{name}-1" for name in MOVES[move][1]}
    assert_held_by_one_at_a_time(life)


@pytest.mark.parametrize("move", MOVES)
def test_it_comes_back_with_a_bad_commit(move: str) -> None:
    before, after = MOVES[move]
    life = moved(before, {**after, "bad": service("bad:1", after=dict.fromkeys(after, "service_started"))})
    life.machine.exclusive = frozenset({"shop_data", "shop_other"})
    was = life.machine.snapshot()
    life.behave("bad:1", crashing(0.5))
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.machine.snapshot() == was
    assert_held_by_one_at_a_time(life)
    life.turn()
    assert_quiet(life)


def test_a_port_moves_between_stacks() -> None:
    life = Life()
    life.document = document(stacks=("shop", "blog"))
    life.image("b:1")
    for shop, blog in ((8001, 8002), (8002, 8001)):
        blogs = json.dumps({"services": {"b": publishing("b:1", blog)}})
        life.push_model({"services": {"a": publishing("a:1", shop)}}, **{"blog.yaml": blogs})
        settled(life)


@pytest.mark.parametrize(
    ("asked", "address", "held", "replicas"),
    [
        (8001, "", ("::1", 8001, "tcp"), 1),
        ("8001-8004", "", ("127.0.0.1", 8001, "tcp"), 1),
        ("8001-8004", "127.0.0.1", ("", 8002, "tcp"), 2),
    ],
)
def test_a_port_that_a_process_holds_is_waited_for_and_nothing_stops(
    asked: int | str, address: str, held: tuple[str, int, str], replicas: int
) -> None:
    life = Life()
    life.push(a=service("a:1"))
    settled(life)
    life.machine.processes[held] = "nginx"
    life.push(a=publishing("a:1", asked, address, scale=replicas))
    before = life.machine.snapshot()
    for _ in range(3):
        turn = life.turn()
        assert (turn.outcome, turn.reason) == (Outcome.FAILED, Reason.DEPENDENCY_NOT_READY)
        assert "process nginx holds" in turn.message
        assert life.machine.snapshot() == before
    life.machine.processes.clear()
    settled(life)


@pytest.mark.parametrize("after", [{"a": publishing("a:1", 8001)}, {"new": publishing("a:1", 8001)}, {
    "a": service("a:1"), "new": publishing("a:1", 8001)
}])  # fmt: skip
def test_nobody_waits_for_a_port_of_a_container_that_leaves_the_host_network(after: dict[str, Any]) -> None:
    grant = Grant(policy="host-namespace", stack="shop", service="*", reason="tested", values=("network_mode",))
    life = Life(grants=(grant,))
    life.push(a=service("a:1", network_mode="host"), other=service("a:1"))
    settled(life)
    life.machine.processes["", 8001, "tcp"] = "a"
    life.during["StopContainer"] = life.machine.processes.clear
    life.push(other=service("a:1"), **after)
    turn = life.turn()
    assert turn.outcome is Outcome.SUCCEEDED, turn.message


@pytest.mark.parametrize(
    ("before", "after", "left"),
    [
        ("host", "host", service("z:1")),
        ("host", "published", service("z:1")),
        ("published", "published", service("z:1")),
        ("published", "host", service("z:1")),
        ("published", "host", publishing("z:1", 8001, "127.0.0.1")),  # the other addresses are free
    ],
)
def test_ports_of_the_host_network_change_hands(before: str, after: str, left: dict[str, Any]) -> None:
    def using(image: str, how: str) -> dict[str, Any]:
        return service(image, network_mode="host") if how == "host" else publishing(image, 8001)

    grant = Grant(policy="host-namespace", stack="shop", service="*", reason="tested", values=("network_mode",))
    life = Life(grants=(grant,))
    life.push(z=using("z:1", before))
    settled(life)
    seen = len(life.machine.trace)
    life.push(new=using("new:1", after), z=left)
    assert life.turn().outcome is Outcome.SUCCEEDED
    stop, start = (
        [index for index, step in enumerate(life.machine.trace[seen:]) if step.startswith(word)]
        for word in ("stop ", "start ")
    )
    assert min(stop) < min(start), life.machine.trace[seen:]


def test_a_range_with_enough_free_ports_waits_for_nothing() -> None:
    life = Life()
    life.machine.processes["", 8004, "tcp"] = "nginx"
    life.machine.add_foreign("theirs", 1 << 20, [("127.0.0.1", 8001, "tcp")])
    life.push(a=publishing("a:1", "8001-8004", scale=2))
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.push(a=publishing("a:1", "8001-8004", scale=3))
    assert life.turn().message == "shop/a wants one of the ports 8001-8004/tcp, and process nginx holds 8004"


@pytest.mark.parametrize("what", ["port 8001/tcp", "container name chosen"])
def test_what_a_suspended_stack_holds_is_waited_for_and_nothing_stops(what: str) -> None:
    """The file of the suspended stack has given it up, and its container keeps it until the suspension ends."""
    holding = publishing("a:1", 8001) if "port" in what else service("a:1", container_name="chosen")
    life = Life()
    life.image("b:1")
    life.document = document(stacks=("shop", "blog"))

    def push(shop: dict[str, Any], blog: dict[str, Any]) -> None:
        life.push_model({"services": {"a": shop}}, **{"blog.yaml": json.dumps({"services": {"b": blog}})})

    push(holding, service("b:1"))
    settled(life)
    life.document = life.document.replace('"name": "shop", ', '"name": "shop", "suspended": true, ')
    push(service("a:1"), {**holding, "image": "b:1"})
    before = life.machine.snapshot()
    for _ in range(3):
        turn = life.turn()
        assert (turn.outcome, turn.reason) == (Outcome.FAILED, Reason.DEPENDENCY_NOT_READY), turn.message
        assert f"{what}, which" in turn.message
        assert "of the suspended stack shop" in turn.message
        assert life.machine.snapshot() == before
    life.document = document(stacks=("shop", "blog"))
    push(service("a:1"), {**holding, "image": "b:1"})
    settled(life)


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ("10.9.0.5", {"ipv4_address": "10.9.0.5"}),
        ("02:42:0a:00:00:05", {"mac_address": "02-42-0A-00-00-05"}),
    ],
)
def test_an_address_that_a_neighbour_has_is_waited_for_and_nothing_stops(asked: str, written: dict[str, str]) -> None:
    life = moved(
        {"a": service("a:1"), "b": service("b:1", networks={"lan": None})},
        {"a": service("a:1", networks={"lan": written}), "b": service("b:1", networks={"lan": None})},
    )
    life.machine.named("shop-b-1").addresses["shop_lan"] = asked
    before = life.machine.snapshot()
    for _ in range(3):
        turn = life.turn()
        assert (turn.outcome, turn.reason) == (Outcome.FAILED, Reason.DEPENDENCY_NOT_READY)
        assert f"{asked}, which shop-b-1 has" in turn.message
        assert life.machine.snapshot() == before


@pytest.mark.parametrize("back", [False, True])
def test_a_name_that_compose_gives_by_itself_changes_hands(back: bool) -> None:
    """Candidates are made while the present holder of the name still runs."""
    life = Life()
    both = {"a": service("a:1"), "b": service("b:1")}
    first, second = {"a": service("a:1", container_name="shop-b-1")}, both
    if back:
        first, second = both, {"a": service("a:1", container_name="shop-b-1"), "c": service("c:1")}
    life.push(**first)
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.push(**second)
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.running() == {
        **({"shop-b-1": "a:1", "shop-c-1": "c:1"} if back else {"shop-a-1": "a:1", "shop-b-1": "b:1"})
    }
    assert_quiet(life)


@pytest.mark.parametrize("cuts", [1, 2])
def test_a_candidate_that_never_ran_hands_no_nameless_volume_on(cuts: int) -> None:
    """It has taken over the volume of a container that still uses it."""

    def cache(replicas: int, version: int) -> dict[str, Any]:
        return service("cache:1", health=False, deploy={"replicas": replicas}, labels={"version": str(version)})

    life = Life()
    life.machine.image_volumes[life.image("cache:1")] = ("/cache",)
    life.push(cache=cache(1, 1))
    assert life.turn().outcome is Outcome.SUCCEEDED
    (held,) = life.machine.named("shop-cache-1").mounts
    for cut in range(cuts):
        life.during["StopContainer"] = lambda: life.machine.go_away(1.0)
        life.push(cache=cache(2 + cut, 2 + cut))
        assert life.turn().outcome is Outcome.FAILED
        life.machine.advance(2.0)
    life.push(cache=cache(3, 1 if cuts == 1 else 4))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.machine.overlaps == []
    sources = [mount.source for name in life.running() for mount in life.machine.named(name).mounts]
    assert len(sources) == len(set(sources)) == 3
    assert held in life.machine.named("shop-cache-1").mounts
    assert_quiet(life)


def test_after_a_cut_off_rollout_each_candidate_takes_the_place_whose_nameless_volume_it_has() -> None:
    def cache(replicas: int, **more: Any) -> dict[str, Any]:
        return service("cache:1", health=False, deploy={"replicas": replicas}, **more)

    life = Life()
    life.machine.image_volumes[life.image("cache:1")] = ("/cache",)
    life.push(cache=cache(2))
    assert life.turn().outcome is Outcome.SUCCEEDED
    held = {name: life.machine.named(name).mounts for name in life.running()}
    life.during["StopContainer"] = lambda: life.machine.go_away(1.0)
    life.push(cache=cache(3, labels={"version": "2"}))
    assert life.turn().outcome is Outcome.FAILED
    life.machine.advance(2.0)
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.machine.overlaps == []
    assert {name: life.machine.named(name).mounts for name in held} == held
    assert_quiet(life)
