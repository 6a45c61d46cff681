"""Which container fills which slot of a service."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.decide.slots import by_sharing, completed, pair, removed, stable_name
from tests.decide.planning import desired, observed


def state(services: dict[str, Any]) -> dict[str, Any]:
    return {"stacks": {"shop": {"services": services}}}


def slots(service: dict[str, Any], containers: dict[str, Any]) -> tuple[dict[str, str | None], list[str]]:
    """Slot's name → id of its container; and the names of the surplus ones."""
    found = pair(desired(state({"web": service})), observed({"containers": containers}), frozenset())["shop", "web"]
    held = {slot.name: slot.container.id if slot.container else None for slot in found.slots}
    return held, [item.name for item in found.extras]


@pytest.mark.parametrize("name", ["shop-web-1", "shop-web-1.standby", "shop-web-1.id-other.standby"])
def test_what_a_standby_is_called_otherwise(name: str) -> None:
    container = observed({"containers": {name: {"is": "shop/web@1 exited=0", "id": "other-one"}}}).containers[0]
    assert stable_name(container) == "shop-web-1"


def test_those_that_run_are_kept_before_those_that_do_not() -> None:
    found = {
        "shop-web-1": {"is": "shop/web@1 exited=0"},
        "shop-web-2": {"is": "shop/web@1 running"},
    }
    assert slots({}, found) == ({"shop-web-1": "id-shop-web-2"}, ["shop-web-1"])


def test_of_those_that_do_not_run_a_standby_comes_last() -> None:
    found = {
        "shop-web-1.standby": {"is": "shop/web@1 exited=0", "number": 1},
        "shop-web-2": {"is": "shop/web@1 created"},
    }
    assert slots({}, found) == ({"shop-web-1": "id-shop-web-2"}, ["shop-web-1.standby"])


def test_each_keeps_its_place_and_the_rest_take_what_is_free() -> None:
    found = {
        "shop-web-2": {"is": "shop/web@1 running"},
        "somebody": {"is": "shop/web@1 running", "number": 9},
    }
    held = {"shop-web-1": "id-somebody", "shop-web-2": "id-shop-web-2", "shop-web-3": None}
    assert slots({"replicas": 3}, found) == (held, [])


def test_another_version_is_too_many() -> None:
    assert slots({"version": 2}, {"shop-web-1": {"is": "shop/web@1 running"}}) == ({"shop-web-1": None}, ["shop-web-1"])


def test_who_shares_with_a_container_that_goes_is_stale() -> None:
    text = state({"vpn": {"version": 2}, "client": {"shares": ["vpn"]}})
    there = {
        "shop-vpn-1": {"is": "shop/vpn@1 running"},
        "shop-client-1": {"is": "shop/client@1 running", "shares": ["shop-vpn-1"]},
    }
    found = pair(desired(text), observed({"containers": there}), frozenset())["shop", "client"]
    assert (found.stale_shares, [slot.container for slot in found.slots], len(found.extras)) == (True, [None], 1)
    text["stacks"]["shop"]["services"]["vpn"] = {"version": 1}
    found = pair(desired(text), observed({"containers": there}), frozenset())["shop", "client"]
    assert (found.stale_shares, len(found.extras)) == (False, 0)


def test_a_one_shot_that_has_run_has_no_place() -> None:
    wanted = desired(state({"job": {"completes": True}}))
    spec = wanted.services()["shop", "job"].spec
    assert pair(wanted, observed({}), frozenset({spec}))["shop", "job"].slots == ()
    assert len(pair(wanted, observed({}), frozenset())["shop", "job"].slots) == 1


@pytest.mark.parametrize(
    ("seen", "ended"), [("exited=0", True), ("exited=3", False), ("running", False), ("created", False)]
)
def test_the_proper_end_of_a_one_shot(seen: str, ended: bool) -> None:
    container = observed({"containers": {"shop-job-1": {"is": f"shop/job@1 {seen}"}}}).containers[0]
    assert completed(container) is ended
    assert not completed(None)


def test_namespace_owners_come_before_their_guests() -> None:
    services = desired(state({"a": {"shares": ["b"]}, "b": {"shares": ["c"]}, "c": {}})).services().values()
    assert [service.name for service in by_sharing(list(services))] == ["c", "b", "a"]


def test_a_guest_of_nobody_is_no_trouble() -> None:
    services = desired(state({"a": {"shares": ["gone"]}})).services().values()
    assert [service.name for service in by_sharing(list(services))] == ["a"]


def test_removed_services() -> None:
    there = {
        "shop-old-1": {"is": "shop/old@1 running"},
        "shop-web-1": {"is": "shop/web@1 running"},
    }
    gone = removed(desired(state({"web": {}})), observed({"containers": there}))
    assert {key: [item.name for item in items] for key, items in gone.items()} == {("shop", "old"): ["shop-old-1"]}
    text = {"stacks": {"shop": {"suspended": True, "services": {"web": {}}}}}
    assert removed(desired(text), observed({"containers": there})) == {}
