"""A health check that cannot pass in time is rejected by arithmetic, not by an outage."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.model.documents import Gate
from tests.decide.judging import candidate, judge_stacks

GATE = Gate(healthy_deadline=20.0)
TEST = ["CMD", "true"]


def late(**check: Any) -> list[str]:
    asked = candidate({"services": {"web": {"image": "web:1", "healthcheck": check}}})
    found = judge_stacks([replace(asked, stack=replace(asked.stack, gate=GATE))])
    return [item.message for item in found if item.rule == "late-probe"]


@pytest.mark.parametrize(
    "check",
    [
        {"test": TEST, "interval": "1m0s"},
        {"test": TEST},
        {"test": TEST, "interval": "1m", "start_interval": "1s"},
        {"test": TEST, "start_period": "1m", "start_interval": "21s"},
    ],
)
def test_the_first_probe_comes_too_late(check: dict[str, Any]) -> None:
    (message,) = late(**check)
    assert "healthy_deadline is 20s" in message


@pytest.mark.parametrize(
    "check",
    [
        {"test": TEST, "interval": "20s"},
        {"test": TEST, "interval": "1m", "start_period": "10s"},
        {"test": TEST, "interval": "1m", "start_period": "10s", "start_interval": "2s"},
        {"interval": "1m"},
        {"test": ["NONE"], "interval": "1m"},
        {"disable": True, "test": TEST, "interval": "1m"},
    ],
)
def test_it_comes_in_time_or_there_is_none(check: dict[str, Any]) -> None:
    assert late(**check) == []
