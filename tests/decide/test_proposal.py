"""Proposals for running projects: limits, and files that read as they are meant."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from reconciler.decide.drift.proposal import (
    agent_text,
    budget,
    host_name,
    host_text,
    limit,
    limits_text,
    project_name,
    proposed,
)
from reconciler.model.documents import GIB, MIB
from reconciler.model.proposal import Limit, Origin, Project


@pytest.mark.parametrize(
    ("used", "proposes"),
    [(0, 64), (1, 64), (32, 64), (33, 96), (48, 96), (49, 128), (64, 128), (65, 192), (100, 256), (700, 1536)],
)
def test_a_limit_is_twice_what_is_used_in_sensible_steps(used: int, proposes: int) -> None:
    assert limit(used * MIB) == proposes * MIB


def test_each_step_is_at_least_twice_and_at_most_three_times_what_is_used() -> None:
    for used in range(40, 5000, 7):
        assert 2 * used * MIB <= limit(used * MIB) <= 3 * used * MIB


def test_a_limit_of_the_file_stays_and_what_does_not_run_gets_the_default() -> None:
    assert proposed("shop", "web", 100 * MIB, 300 * MIB, 512 * MIB) == Limit(
        "shop", "web", 100 * MIB, Origin.KEPT, 300 * MIB
    )
    assert proposed("shop", "web", None, None, 512 * MIB) == Limit("shop", "web", 512 * MIB, Origin.DEFAULT)
    assert proposed("shop", "web", None, 40 * MIB, 512 * MIB).bytes == 96 * MIB


def test_the_override_names_what_was_measured_and_says_what_was_not() -> None:
    text = limits_text(
        [
            Limit("shop", "db", 96 * MIB, Origin.MEASURED, 40 * MIB),
            Limit("shop", "job", 512 * MIB, Origin.DEFAULT),
            Limit("shop", "web", 100 * MIB, Origin.KEPT),
        ]
    )
    assert yaml.safe_load(text) == {"services": {"db": {"mem_limit": "96MiB"}}}
    assert "# job was not measured" in text
    assert "web" not in text


def test_no_override_where_nothing_was_measured() -> None:
    assert limits_text([Limit("shop", "job", 512 * MIB, Origin.DEFAULT), Limit("shop", "web", 1, Origin.KEPT)]) == ""


def test_the_host_document_reads_as_it_is_meant() -> None:
    projects = [Project("shop", ("shop/compose.yaml",), "/srv/shop"), Project("0", ("yes", "a b.yaml"), "/srv/0")]
    read = yaml.safe_load(host_text("mini", projects, budget(7 * GIB + 5 * MIB), ["shop"]))
    assert read["spec"]["memory"] == {"budget": "7GiB", "steady": "80%", "reserve": "512MiB"}
    assert read["spec"]["stacks"] == [
        {"name": "shop", "files": ["shop/compose.yaml", "desired-state/mini/shop.limits.yaml"]},
        {"name": "0", "files": ["yes", "a b.yaml"]},
    ]


def test_the_agent_config_reads_as_it_is_meant() -> None:
    read = yaml.safe_load(agent_text("mini", {"url": "/srv/a b.git", "branch": "on"}, "/var/lib/reconciler"))
    plain: dict[str, Any] = {
        "host": "mini",
        "source": {"url": "/srv/a b.git", "branch": "on"},
        "state": "/var/lib/reconciler",
    }
    assert read == {**plain, "trust": "strangers"}
    assert yaml.safe_load(agent_text("mini", plain["source"], plain["state"], trust="owner"))["trust"] == "owner"


def test_names() -> None:
    assert [project_name(name) for name in ("My_Shop", "_x", "Ünï", "...")] == ["my_shop", "x", "n", "stack"]
    assert [host_name(name) for name in ("Mini.fritz.box", "MacBook Pro", "--")] == ["mini", "macbook-pro", "host"]


def test_a_small_machine_keeps_a_small_reserve() -> None:
    assert (budget(1 * GIB).budget, budget(1 * GIB).reserve) == (1 * GIB, 128 * MIB)
    assert budget(None).budget == 14 * GIB
