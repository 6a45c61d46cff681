"""The memory of a commit is summed, and the commit is rejected if it is too much."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.decide.admit.admit import demands
from reconciler.decide.admit.budget import Demand, judge, replicas, rows, service_memory
from reconciler.model.admission import Budget, Row
from reconciler.model.documents import GIB, MIB, HostDocument, Memory
from reconciler.model.outcome import Reason, Violation
from tests.decide.judging import candidate

HOST = HostDocument("mini", (), Memory(GIB, 0.8, 64 * MIB), path="desired-state/mini.yaml")


def once(stack: str, service: str, limit: int, replicas: int = 1) -> Demand:
    return Demand(Row(stack, service, replicas, limit, False, completes=True))


def stays(stack: str, service: str, limit: int, replicas: int = 1) -> Demand:
    return Demand(Row(stack, service, replicas, limit, False), f"{stack}/compose.yaml", 7, 9)


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ({}, (512 * MIB, True)),
        ({"mem_limit": "67108864"}, (64 * MIB, False)),
        ({"mem_limit": 67108864}, (64 * MIB, False)),
        ({"deploy": {"resources": {"limits": {"memory": "67108864"}}}}, (64 * MIB, False)),
        ({"mem_limit": "67108864", "deploy": {"resources": {"limits": {"memory": "1"}}}}, (64 * MIB, False)),
        ({"mem_limit": "0"}, (512 * MIB, True)),
        ({"mem_limit": "-1", "deploy": {"resources": {"limits": {"memory": "67108864"}}}}, (64 * MIB, False)),
        ({"deploy": {"resources": {"reservations": {"memory": "67108864"}}}}, (512 * MIB, True)),
        ({"deploy": None}, (512 * MIB, True)),
    ],
)
def test_a_services_limit(service: dict[str, Any], expected: tuple[int, bool]) -> None:
    assert service_memory(service, 512 * MIB) == expected


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ({}, 1),
        ({"scale": 3}, 3),
        ({"scale": 0}, 0),
        ({"deploy": {"replicas": 2}}, 2),
        ({"deploy": {"replicas": "2"}}, 2),
        ({"scale": 3, "deploy": {"replicas": 3}}, 3),
        ({"deploy": {"mode": "global"}}, 1),
    ],
)
def test_how_many_containers(service: dict[str, Any], expected: int) -> None:
    assert replicas(service) == expected


def test_a_row_for_each_service_says_whether_it_stays() -> None:
    wait = {"migrate": {"condition": "service_completed_successfully"}, "db": {"condition": "service_healthy"}}
    model = {"services": {"web": {"depends_on": wait, "scale": 2}, "db": {"mem_limit": "67108864"}, "migrate": {}}}
    assert rows("shop", model, 512 * MIB) == (
        Row("shop", "db", 1, 64 * MIB, False, overhead=8 * MIB),
        Row("shop", "migrate", 1, 512 * MIB, True, completes=True, overhead=8 * MIB),
        Row("shop", "web", 2, 512 * MIB, True, overhead=8 * MIB),
    )


def test_a_demand_stands_at_the_limit_or_at_the_service_that_has_none() -> None:
    deploy = {"resources": {"limits": {"memory": "67108864"}}}
    model = {"services": {"a": {"mem_limit": "67108864"}, "b": {"deploy": deploy}, "c": {}}}
    # the scan of these tests gives a pointer of n steps the line n + 1
    assert [item.line for item in demands([candidate(model)], MIB)] == [4, 7, 3]


def test_what_fits_is_summed_up() -> None:
    budget, violations = judge(HOST, [stays("shop", "web", 100 * MIB, 2), once("shop", "migrate", 50 * MIB)])
    assert violations == ()
    assert replace(budget, rows=()) == Budget(
        budget_bytes=GIB,
        steady_limit_bytes=int(GIB * 0.8),
        reserve_bytes=64 * MIB,
        steady_bytes=200 * MIB,
        peak_bytes=250 * MIB,
        over_bytes=0,
        rows=(),
    )
    assert [row.service for row in budget.rows] == ["web", "migrate"]


def test_too_much_that_stays_is_refused_and_the_largest_are_named() -> None:
    small = [stays("shop", f"s{number}", 10 * MIB) for number in range(3)]
    big = [stays("shop", "db", 400 * MIB), stays("shop", "web", 150 * MIB, 3), stays("blog", "a", 11 * MIB)]
    budget, (violation,) = judge(HOST, [*small, *big, once("shop", "migrate", 30 * MIB)])
    assert budget.steady_bytes == 891 * MIB
    assert budget.over_bytes == 891 * MIB - int(GIB * 0.8)
    assert (violation.reason, violation.rule) == (Reason.BUDGET_EXCEEDED, "budget-steady")
    assert "71.8 MiB too much" in violation.message
    assert "shop/web 3 × 150 MiB, shop/db 400 MiB, blog/a 11 MiB" in violation.message
    assert "s0" not in violation.message
    assert (violation.path, violation.line) == ("desired-state/mini.yaml", None)
    assert violation.pointer == "/spec/memory/steady"


def test_what_runs_once_counts_in_the_peak_with_the_reserve() -> None:
    demands = [stays("shop", "web", 700 * MIB), once("shop", "a", 200 * MIB)]
    assert judge(HOST, demands)[1] == ()
    budget, (violation,) = judge(HOST, [*demands, once("shop", "b", 61 * MIB)])
    assert (violation.rule, violation.pointer) == ("budget-peak", "/spec/memory/budget")
    assert budget.peak_bytes == 961 * MIB
    assert budget.over_bytes == MIB
    assert "1 MiB too much" in violation.message


def test_what_fits_to_the_byte_is_accepted() -> None:
    steady = int(GIB * 0.8)
    peak = GIB - 64 * MIB
    filling = [stays("shop", "web", steady), once("shop", "migrate", peak - steady)]
    budget, violations = judge(HOST, filling)
    assert (violations, budget.over_bytes) == ((), 0)
    assert [len(judge(HOST, [*filling, one("shop", "x", 1)])[1]) - 1 for one in (stays, once)] == [2, 1]


@pytest.mark.parametrize(
    ("limit", "text"),
    [(GIB, "1 GiB"), (3 * GIB // 2, "1.5 GiB"), (GIB + 64 * MIB, "1088 MiB"), (900 * MIB + 1, "900 MiB")],
)
def test_sizes_are_told_for_people(limit: int, text: str) -> None:
    message = judge(HOST, [stays("shop", "web", limit)])[1][0].message
    assert f"the largest are shop/web {text}" in message


def test_without_a_host_document_the_largest_service_is_the_place() -> None:
    plain = HostDocument("mini", (), Memory(GIB, 0.8, 64 * MIB))
    largest = stays("shop", "db", 900 * MIB)
    _, (violation,) = judge(plain, [stays("blog", "web", 10 * MIB), largest])
    assert (violation.path, violation.line, violation.column) == (largest.path, largest.line, largest.column)
    assert violation.pointer == "/services/db"


def test_a_reserve_that_leaves_nothing_is_said_without_services() -> None:
    narrow = HostDocument("mini", (), Memory(GIB, 0.8, 2 * GIB), path="desired-state/mini.yaml")
    _, (violation,) = judge(narrow, [])
    assert violation.rule == "budget-peak"
    assert "largest" not in violation.message


def test_a_limit_below_what_the_engine_takes_is_refused() -> None:
    assert judge(HOST, [stays("shop", "web", 6 * MIB)])[1] == ()
    _, (violation,) = judge(HOST, [stays("shop", "web", 6 * MIB - 1)])
    assert (violation.rule, violation.path, violation.line) == ("memory-minimum", "shop/compose.yaml", 7)
    assert (violation.stack, violation.service) == ("shop", "web")


limits = st.integers(6 * MIB, 2 * GIB)
rows_of_services = st.lists(
    st.builds(
        Demand,
        st.builds(
            Row,
            st.just("s"),
            st.text("ab"),
            st.integers(0, 4),
            limits,
            st.booleans(),
            st.booleans(),
            st.integers(0, 99 * MIB),
        ),
    )
)


@given(rows_of_services)
def test_the_sums_hold_and_are_exceeded_exactly_where_a_violation_says_so(demands: list[Demand]) -> None:
    budget, violations = judge(HOST, demands)
    containers = [demand.row for demand in demands for _ in range(demand.row.replicas)]
    assert budget.peak_bytes == sum(row.limit + row.overhead for row in containers)
    assert budget.steady_bytes == sum(row.limit + row.overhead for row in containers if not row.completes)
    steady_over = budget.steady_bytes > budget.steady_limit_bytes
    peak_over = budget.peak_bytes + budget.reserve_bytes > budget.budget_bytes
    assert _rules(violations) == ["budget-steady"] * steady_over + ["budget-peak"] * peak_over
    assert bool(budget.over_bytes) == bool(violations)


def _rules(violations: tuple[Violation, ...]) -> list[str]:
    return [violation.rule for violation in violations]
