"""Judges whether a commit fits into the memory budget, by its own limits alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reconciler.decide import footprint
from reconciler.formats.quantities import shown
from reconciler.model.admission import Budget, MemoryVolume, Row
from reconciler.model.documents import MIB, HostDocument
from reconciler.model.outcome import Reason, Violation
from reconciler.values import dataclass

Json = Mapping[str, Any]

ENGINE_MINIMUM = 6 * MIB
"""Docker Engine refuses smaller limits ("Minimum memory limit allowed is 6MB", daemon/daemon_unix.go)."""

LARGEST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Demand:
    """A row, and its place in the commit (lines and columns from 1, None if unknown)."""

    row: Row
    path: str | None = None
    line: int | None = None
    column: int | None = None


def service_memory(service: Json, default: int) -> tuple[int, bool]:
    """Bytes that one container may use, and whether that is `default` because the file sets no limit.

    Compose's canonical model gives sizes in bytes, as text or number; 0 and -1 mean "no limit".
    """
    limits = ((service.get("deploy") or {}).get("resources") or {}).get("limits") or {}
    for value in (service.get("mem_limit"), limits.get("memory")):
        if value is not None and int(value) > 0:
            return int(value), False
    return default, True


def replicas(service: Json) -> int:
    """Number of containers of the service; 0 if the file says so, 1 if it says nothing."""
    deploy = service.get("deploy") or {}
    if deploy.get("mode") == "global":
        return 1
    for value in (service.get("scale"), deploy.get("replicas")):
        if value is not None:
            return max(0, int(value))
    return 1


def ending(services: Mapping[str, Json]) -> frozenset[str]:
    """The services of a stack's canonical model that are sure to end: see `footprint.ending`."""
    waits = (item for service in services.values() for item in (service.get("depends_on") or {}).items())
    return footprint.ending((name, str((wait or {}).get("condition"))) for name, wait in waits)


def rows(stack: str, model: Json, default: int) -> tuple[Row, ...]:
    """One row for each service of a stack's canonical model, in the order of their names."""
    services: Mapping[str, Json] = model.get("services") or {}
    found, ends = [], ending(services)
    for name, service in sorted(services.items()):
        limit, is_default = service_memory(service, default)
        beside = footprint.overhead(service)
        found.append(Row(stack, name, replicas(service), limit, is_default, name in ends, beside))
    return tuple(found)


def volumes(stack: str, model: Json) -> tuple[MemoryVolume, ...]:
    """The volumes in memory that a stack's canonical model makes and mounts."""
    services: Mapping[str, Json] = model.get("services") or {}
    used = {name for service in services.values() if replicas(service) for name in footprint.mounted(service)}
    owned = {key: item for key, item in (model.get("volumes") or {}).items() if item and not item.get("external")}
    return tuple(
        MemoryVolume(stack, key, footprint.bytes_of(item))
        for key, item in sorted(owned.items())
        if key in used and footprint.in_memory(item.get("driver_opts") or {})
    )


def judge(
    document: HostDocument, demands: Iterable[Demand], volumes: Iterable[MemoryVolume] = ()
) -> tuple[Budget, tuple[Violation, ...]]:
    """The sums of the whole host, and their violations.

    Steady is the sum of all services except one-shots. Peak adds all one-shots at once, since independent services
    start together. A replacement adds nothing, because the old container stops first.
    """
    demands = tuple(demands)
    budget = _sum(document, tuple(demand.row for demand in demands), tuple(volumes))
    broken = [_too_small(demand) for demand in demands if demand.row.limit < ENGINE_MINIMUM]
    return budget, (*broken, *_over(document, budget, demands))


def _sum(document: HostDocument, rows: tuple[Row, ...], volumes: tuple[MemoryVolume, ...]) -> Budget:
    memory = document.memory
    steady_limit = int(memory.budget * memory.steady)
    in_memory = sum(item.size for item in volumes)
    steady = sum(row.total for row in rows if not row.completes) + in_memory
    peak = sum(row.total for row in rows) + in_memory
    over = max(0, steady - steady_limit, peak + memory.reserve - memory.budget)
    return Budget(memory.budget, steady_limit, memory.reserve, steady, peak, over, rows, volumes)


def _over(document: HostDocument, budget: Budget, demands: Sequence[Demand]) -> Iterable[Violation]:
    memory = document.memory
    over = budget.steady_bytes - budget.steady_limit_bytes
    if over > 0:
        allowed = f"{shown(budget.steady_limit_bytes)} ({memory.steady:.0%} of {shown(memory.budget)})"
        what = f"long-running services need up to {shown(budget.steady_bytes)}, and {allowed} is allowed"
        staying = [demand for demand in demands if not demand.row.completes]
        what += _beside(budget, staying)
        yield _exceeded(document, "budget-steady", "/spec/memory/steady", staying, over, what)
    over = budget.peak_bytes + memory.reserve - memory.budget
    if over > 0:
        needed = f"{shown(budget.peak_bytes)} beside {shown(memory.reserve)} of reserve"
        what = f"a rollout needs up to {needed}, and the budget is {shown(memory.budget)}"
        what += _beside(budget, demands)
        yield _exceeded(document, "budget-peak", "/spec/memory/budget", demands, over, what)


def _beside(budget: Budget, demands: Iterable[Demand]) -> str:
    """The part of the sum that no limit contains."""
    overhead = sum(demand.row.replicas * demand.row.overhead for demand in demands)
    in_memory = sum(item.size for item in budget.volumes)
    names = ", ".join(f"{item.stack}/{item.volume}" for item in budget.volumes[:LARGEST_NAMED])
    told = [f"{shown(overhead)} for running containers and publishing ports"] * bool(overhead)
    told += [f"{shown(in_memory)} for the volumes in memory ({names})"] * bool(in_memory)
    return f" ({' and '.join(told)} included)" if told else ""


def _exceeded(
    document: HostDocument, rule: str, pointer: str, demands: Sequence[Demand], over: int, what: str
) -> Violation:
    """At the Host document; without one, at the largest service."""
    largest = sorted(demands, key=lambda demand: (-demand.row.total, demand.row.stack, demand.row.service))
    named = ", ".join(_describe(demand.row) for demand in largest[:LARGEST_NAMED])
    at = next(iter(largest), None) if document.path is None else None
    return Violation(
        Reason.BUDGET_EXCEEDED,
        rule,
        f"{what}: {shown(over)} too much" + (f"; the largest are {named}" if named else ""),
        "Lower mem_limit, replicas or ports of the largest services, or raise spec.memory in the Host document.",
        path=at.path if at else document.path,
        line=at.line if at else None,
        column=at.column if at else None,
        pointer=f"/services/{at.row.service}" if at else pointer,
    )


def _too_small(demand: Demand) -> Violation:
    row, minimum = demand.row, f"{ENGINE_MINIMUM} bytes ({shown(ENGINE_MINIMUM)})"
    return Violation(
        Reason.POLICY_VIOLATION,
        "memory-minimum",
        f"service {row.service} is limited to {row.limit} bytes, and the engine's minimum is {minimum}",
        f"Set mem_limit to {ENGINE_MINIMUM >> 20}m or more.",
        path=demand.path,
        line=demand.line,
        column=demand.column,
        pointer=f"/services/{row.service}",
        stack=row.stack,
        service=row.service,
    )


def _describe(row: Row) -> str:
    times = f"{row.replicas} × " if row.replicas != 1 else ""
    default = " (default)" if row.default else ""
    return f"{row.stack}/{row.service} {times}{shown(row.limit)}{default}"
