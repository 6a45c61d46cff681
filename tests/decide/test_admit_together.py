"""Conflicts between services: names, ports and dependencies."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model.outcome import Level
from tests.decide.judging import candidate, denied, judge, judge_service, judge_stacks

# ------------------------------------------------------------------------------------------------------- circles


@pytest.mark.parametrize(
    ("services", "circles"),
    [
        ({"a": {"depends_on": {"b": {}}}, "b": {"network_mode": "service:a"}}, ["a → b → a"]),
        ({"a": {"network_mode": "service:a"}}, ["a → a"]),
        ({"a": {"volumes_from": ["b:ro"]}, "b": {"pid": "service:c"}, "c": {"ipc": "service:a"}}, ["a → b → c → a"]),
        ({"a": {"depends_on": {"b": {}, "c": {}}}, "b": {"depends_on": {"c": {}}}, "c": {}}, []),
        ({"container": {"volumes_from": ["container:a"]}, "a": {"network_mode": "container:a"}}, []),
        ({"a": {"depends_on": {"b": {}}}, "b": {"depends_on": {"c": {}}}, "c": {"pid": "service:b"}}, ["b → c → b"]),
    ],
)
def test_a_circle_is_told_once(services: dict[str, Any], circles: list[str]) -> None:
    found = [item for item in judge({"services": services}) if item.rule == "dependency-cycle"]
    assert [item.message.partition("circle: ")[2].partition(":")[0] for item in found] == circles


# --------------------------------------------------------------------------------------------------------- names


def test_one_container_name_for_two_services_is_refused_in_the_whole_host() -> None:
    one = candidate({"services": {"a": {"container_name": "db"}}}, "one")
    two = candidate({"services": {"a": {"container_name": "db"}}}, "two")
    refused = [item for item in judge_stacks([one, two]) if item.level is Level.DENY]
    assert [(item.rule, item.stack) for item in refused] == [("name-conflict", "two")]
    assert "one/a" in refused[0].message
    assert refused[0].pointer == "/services/a/container_name"


def test_numbered_names_meet_those_of_other_stacks_too() -> None:
    fixed = candidate({"services": {"a": {"container_name": "shop-web-2"}}}, "one")
    numbered = candidate({"services": {"web": {"scale": 2}}}, "shop")
    assert denied(judge_stacks([fixed, numbered])) == ["name-conflict"]
    dashes = [candidate({"services": {"c": {}}}, "a-b"), candidate({"services": {"b-c": {}}}, "a")]
    assert denied(judge_stacks(dashes)) == ["name-conflict"]


@pytest.mark.parametrize("kind", ["networks", "volumes"])
def test_networks_and_volumes_of_another_stack_are_not_taken(kind: str) -> None:
    def stack(name: str, called: str) -> Any:
        return candidate({kind: {"x": {"name": called}}}, name)

    def rules(*stacks: Any) -> list[tuple[str, str | None]]:
        return [(item.rule, item.stack) for item in judge_stacks(stacks) if item.level is Level.DENY]

    assert rules(stack("a", "a_x"), stack("b", "b_x")) == []
    assert rules(stack("a", "a_x"), stack("b", "own-name")) == []
    assert rules(stack("a", "a_x"), stack("b", "a_y")) == [("foreign-name", "b")]
    assert rules(stack("a", "same"), stack("b", "same")) == [("foreign-name", "a"), ("foreign-name", "b")]
    shared = {kind: {"x": {"name": "proxy", "external": True}}}
    assert rules(candidate(shared, "a"), candidate(shared, "b"))[0][0].startswith("external-")
    assert rules(stack("a", "a_b_x"), stack("a_b", "a_b_y")) == []


# --------------------------------------------------------------------------------------------------------- ports


def port(published: str, address: str = "", protocol: str = "tcp") -> dict[str, Any]:
    where = {"host_ip": address} if address else {}
    return {"mode": "ingress", "target": 80, "published": published, "protocol": protocol, **where}


@pytest.mark.parametrize(
    ("first", "second", "refused"),
    [
        (port("80"), port("80"), True),
        (port("80"), port("80", "127.0.0.1"), True),
        (port("80", "0.0.0.0"), port("80", "127.0.0.1"), True),
        (port("80", "127.0.0.1"), port("80", "127.0.0.1"), True),
        (port("80", "::1"), port("80", "0:0:0:0:0:0:0:1"), True),
        (port("80", "::"), port("80", "::1"), True),
        (port("80"), port("80", "::1"), True),
        (port("80", "127.0.0.1"), port("80", "192.168.1.2"), False),
        (port("80", "127.0.0.1"), port("80", "::1"), False),
        (port("80", "0.0.0.0"), port("80", "::1"), False),
        (port("80"), port("80", protocol="udp"), False),
        (port("80"), port("81"), False),
        (port("80-81"), port("80"), False),
        (port("80-81"), port("80-81"), False),
        (port("0"), port("0"), False),
        (port(""), port(""), False),
    ],
)
def test_one_port_for_two_services(first: dict[str, Any], second: dict[str, Any], refused: bool) -> None:
    one = candidate({"services": {"a": {"ports": [first]}}}, "one")
    two = candidate({"services": {"a": {"ports": [second]}}}, "two")
    conflicts = [item for item in judge_stacks([one, two]) if item.rule == "port-conflict"]
    assert [(item.stack, "one/a" in item.message) for item in conflicts] == ([("two", True)] if refused else [])


@pytest.mark.parametrize(
    ("services", "refused"),
    [
        ({"a": {"scale": 2, "ports": [port("80")]}}, True),
        ({"a": {"scale": 2, "ports": [port("80-81")]}}, False),
        ({"a": {"scale": 3, "ports": [port("80-81")]}}, True),
        ({"a": {"scale": 0, "ports": [port("80")]}, "b": {"ports": [port("80")]}}, False),
        ({"a": {"scale": 2, "ports": [port("80-81")]}, "b": {"ports": [port("81")]}}, True),
        ({"a": {"ports": [port("80-81")]}, "b": {"ports": [port("80")]}, "c": {"ports": [port("81")]}}, True),
        ({"a": {"ports": [port("80-81")]}, "b": {"ports": [port("81-82")]}, "c": {"ports": [port("80-81")]}}, False),
        ({"a": {"ports": [port("80-82")]}, "b": {"ports": [port("80")]}, "c": {"ports": [port("81")]}}, False),
    ],
)
def test_ranges_hold_as_many_containers_as_they_have_ports(services: dict[str, Any], refused: bool) -> None:
    assert denied(judge({"services": services})) == (["port-conflict"] if refused else [])


def test_a_port_that_two_families_lack_is_told_once() -> None:
    others = {"a": {"ports": [port("80", "0.0.0.0")]}, "b": {"ports": [port("80", "::")]}}
    (conflict,) = (
        item for item in judge({"services": {**others, "c": {"ports": [port("80")]}}}) if item.level is Level.DENY
    )
    assert (conflict.service, conflict.pointer) == ("c", "/services/c/ports/0")


@pytest.mark.parametrize(
    ("ports", "scale", "text"),
    [
        ([port("80")], 2, "publishes port 80/tcp, and 2 replicas need one each"),
        ([port("80"), port("80")], 1, "publishes port 80/tcp, twice"),
        ([port("80-81", protocol="udp")], 3, "publishes port 80-81/udp, and 3 replicas need one each"),
    ],
)
def test_a_port_conflict_says_with_whom(ports: list[Any], scale: int, text: str) -> None:
    violations = judge_service({"ports": ports, "scale": scale})
    (message,) = (item.message for item in violations if item.rule == "port-conflict")
    assert text in message


def test_twenty_thousand_published_ports_are_judged_in_no_time() -> None:
    ports = [port(str(number)) for number in range(2000, 22000)]
    assert denied(judge_service({"ports": ports})) == ["too-many-ports"]


def test_more_sharing_than_can_be_judged_in_time() -> None:
    """Neither a grant nor a trusted owner changes that."""
    mounted = [{"type": "bind", "source": "/srv", "target": "/srv"}]
    few = {f"s{n}": {"image": "x:1", "volumes": mounted, **({"pid": "service:s0"} if n else {})} for n in range(9)}
    many = {f"s{n}": {"image": "x:1", "volumes": mounted, **({"pid": "service:s0"} if n else {})} for n in range(99)}
    assert denied(judge({"services": few}, owner=True)) == []
    assert denied(judge({"services": many}, owner=True)) == ["too-much-shared"]


# -------------------------------------------------------------------------------------------- subnets and IPC


def network(*subnets: str, **more: Any) -> dict[str, Any]:
    return {"ipam": {"config": [{"subnet": item} for item in subnets]}, **more}


@pytest.mark.parametrize(
    ("networks", "named"),
    [
        ({"a": network("10.7.0.0/24"), "b": network("10.7.0.0/24")}, [("b", "shop/a")]),
        ({"a": network("10.7.1.0/24"), "b": network("10.7.0.0/16")}, [("a", "shop/b")]),
        ({"a": network("10.7.0.0/16"), "b": network("10.7.1.0/24"), "c": network("10.7.2.9/24")},
         [("b", "shop/a"), ("c", "shop/a")]),
        ({"a": network("fd00::/48"), "b": network("10.7.0.0/16", "fd00:0:0:1::/64")}, [("b", "shop/a")]),
        ({"a": network("10.7.0.0/16", "10.7.1.0/24")}, [("a", "itself")]),
        ({"a": network("10.7.0.0/24"), "b": network("10.7.1.0/24"), "c": network("fd00::/64"), "d": {}}, []),
        ({"a": network("10.7.0.0/24"), "b": network("10.7.0.0/24", external=True)}, []),
        ({"a": network("10.7.0.0/24"), "b": network("nonsense")}, []),
    ],
)  # fmt: skip
def test_two_networks_have_no_address_in_common(networks: dict[str, Any], named: list[tuple[str, str]]) -> None:
    found = [item for item in judge({"networks": networks}) if item.rule == "subnet-conflict"]
    assert [str(item.pointer).split("/")[2] for item in found] == [key for key, _ in named]
    for item, (_, other) in zip(found, named, strict=True):
        assert item.level is Level.DENY
        assert other in item.message


def test_subnets_of_two_stacks_meet_too() -> None:
    stacks = [candidate({"networks": {"x": network("10.7.0.0/24", name=f"{name}_x")}}, name) for name in ("one", "two")]
    (found,) = (item for item in judge_stacks(stacks) if item.rule == "subnet-conflict")
    assert (found.stack, found.pointer) == ("two", "/networks/x/ipam/config/0/subnet")
    assert "network two/x" in found.message
    assert "network one/x" in found.message


@pytest.mark.parametrize(
    ("subnet", "more", "fits"),
    [
        ("10.7.0.0/30", {}, False),
        ("10.7.0.0/29", {}, True),
        ("10.7.0.0/30", {"restart": "no"}, True),
        ("10.7.0.0/30", {"scale": 1}, True),
        ("10.7.0.0/29", {"scale": 6}, False),
        ("fd00::/126", {"scale": 6}, True),
    ],
)
def test_a_subnet_must_have_an_address_for_each_container(subnet: str, more: dict[str, Any], fits: bool) -> None:
    web = {"image": "x:1", "restart": "always", "scale": 2, "networks": {"lan": None}, **more}
    found = judge({"services": {"web": web}, "networks": {"lan": network(subnet)}})
    found = tuple(item for item in found if item.rule == "subnet-too-small")
    assert [item.pointer for item in found] == ["/networks/lan/ipam/config/0/subnet"] * (not fits)


@pytest.mark.parametrize(
    ("owner", "warned"),
    [({}, True), ({"ipc": "private"}, True), ({"ipc": "shareable"}, False), ({"ipc": "service:c"}, False)],
)
def test_an_ipc_that_is_not_shared_is_warned_about(owner: dict[str, Any], warned: bool) -> None:
    services = {"a": {"ipc": "service:b"}, "b": owner, "c": {"ipc": "shareable"}}
    found = [item for item in judge({"services": services}) if item.rule == "ipc-not-shared"]
    assert [(item.level, item.pointer) for item in found] == [(Level.WARN, "/services/a/ipc")] * warned
    assert all("`ipc: shareable` on the service b" in item.hint for item in found)


# ----------------------------------------------------------------------------------------------------- addresses


def at(**addresses: str) -> dict[str, Any]:
    return {"networks": {"n": addresses}}


@pytest.mark.parametrize(
    ("services", "told"),
    [
        ({"a": at(ipv4_address="10.7.0.9"), "b": at(ipv4_address="10.7.0.9")}, "b: asks for the address 10.7.0.9, wh"),
        ({"a": at(ipv6_address="fd00:7::9"), "b": at(ipv6_address="fd00:7:0::0009")}, "7:0::0009, which shop/a has"),
        ({"a": at(mac_address="02:42:0a:00:00:01"), "b": at(mac_address="02-42-0A-00-00-01")}, "01, which shop/a has"),
        ({"a": {"mac_address": "02:42:0a:00:00:01", **at()}, "b": at(mac_address="02:42:0A:00:00:01")}, "shop/a has"),
        ({"a": {"scale": 2, **at(ipv4_address="10.7.0.9")}}, "10.7.0.9, and 2 replicas need one each"),
        ({"a": at(ipv4_address="10.7.0.1")}, "10.7.0.1, which the gateway of network n has"),
        ({"a": at(ipv4_address="10.7.0.5")}, "10.7.0.5, which router among the aux_addresses of network n has"),
        ({"a": at(ipv4_address="10.7.0.9"), "b": {"scale": 0, **at(ipv4_address="10.7.0.9")}}, ""),
        ({"a": at(ipv4_address="10.7.0.9"), "b": {"networks": {"m": {"ipv4_address": "10.7.0.9"}}}}, ""),
    ],
)  # fmt: skip
def test_an_address_for_two_containers_is_refused(services: dict[str, Any], told: str) -> None:
    pools = [{"subnet": "10.7.0.0/24", "aux_addresses": {"router": "10.7.0.5"}}, {"subnet": "fd00:7::/64"}]
    networks = {"n": {"name": "n", "ipam": {"config": pools}}, "m": {"name": "m", "external": True}}
    found = [item for item in judge({"services": services, "networks": networks}) if item.rule == "address-conflict"]
    assert [told in item.message for item in found] == ([True] if told else [])
