"""The plan of a thousand services, all new and all changed. Pure: no engine is used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from statistics import median
from typing import Any

from benchmarks.measure import Bar, timed
from reconciler.decide.plan import planner
from reconciler.model.outcome import Intent
from tests.decide.planning import desired, observed

SERVICES = 1000
STACKS = 10


def run(pairs: int) -> Iterator[Bar]:
    old, new = desired(_wanted(1), "old"), desired(_wanted(2))
    there = observed({"containers": _there(), "networks": {}, "volumes": {}})
    nothing = replace(there, containers=())
    for name, base, found in (("new", None, nothing), ("changed", old, there)):
        seconds = [
            timed(lambda found=found, base=base: planner.plan(new, found, intent=Intent.ADVANCE, base=base))
            for _ in range(pairs)
        ]
        yield Bar(f"plan, {SERVICES} services {name}", "s", median(seconds), None, 1.0)


def _wanted(version: int) -> dict[str, Any]:
    each = SERVICES // STACKS
    stacks = {
        f"k{stack}": {"services": {f"s{n}": _service(n, version) for n in range(each)}} for stack in range(STACKS)
    }
    return {"stacks": stacks, "memory": {"budget": "1TiB", "reserve": "0"}}


def _service(n: int, version: int) -> dict[str, Any]:
    after = {"after": {f"s{n - 1}": "healthy"}} if n % 3 else {}
    return {"version": version, "memory": "16MiB", "health": True, **after}


def _there() -> dict[str, Any]:
    names = [(f"k{stack}", f"s{n}") for stack in range(STACKS) for n in range(SERVICES // STACKS)]
    return {
        f"{stack}-{name}-1": {"is": f"{stack}/{name}@1 running", "id": f"{stack}{name}", "memory": "16MiB"}
        for stack, name in names
    }
