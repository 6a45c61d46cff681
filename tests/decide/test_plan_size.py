"""In a plan of many services, each costs as much as in a plan of few."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from reconciler.decide.plan import planner
from reconciler.model.outcome import Intent
from tests.decide.planning import desired, observed


@pytest.mark.parametrize("there", [False, True])
def test_twice_as_many_services_take_twice_the_work(there: bool) -> None:
    assert _calls(160, there) < 2.2 * _calls(80, there)


def _calls(services: int, there: bool) -> int:
    """Python functions that are called to plan that many changed services, each with one that restarts with it."""
    old, new = desired(_wanted(services, 1), "old"), desired(_wanted(services, 2))
    running = {f"k-s{n}-1": {"is": f"k/s{n}@1 running", "id": f"s{n}"} for n in range(services)}
    found = observed({"containers": running if there else {}, "networks": {}, "volumes": {}})
    count = 0

    def called(frame: Any, event: str, _: Any) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        planner.plan(new, found, intent=Intent.ADVANCE, base=old)
    finally:
        sys.setprofile(before)
    return count


def _wanted(services: int, version: int) -> dict[str, Any]:
    each: dict[str, Any] = {}
    for n in range(services):
        each[f"s{n}"] = {"version": version, "memory": "16MiB", "health": True}
        if n % 3:
            each[f"s{n}"]["after"] = {f"s{n - 1}": "healthy"}
    return {"stacks": {"k": {"services": each}}, "memory": {"budget": "1TiB", "reserve": "0"}}
