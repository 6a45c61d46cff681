"""Random lives of a machine: whatever people push and whatever fails, they end well."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from loguru import logger

from tests.simulator import planted
from tests.simulator.machine import SETTINGS, Asking, Reporting, Simulator, Unlimited

LIVES, ASKING, REPORTING, UNLIMITED, LENGTH = 850, 60, 40, 30, 10


@pytest.mark.timeout(1200)
def test_every_life_ends_well() -> None:
    """Always the same lives; `tests.simulator.soak` plays others."""
    run_state_machine_as_test(
        Simulator, settings=settings(SETTINGS, max_examples=LIVES, stateful_step_count=LENGTH, derandomize=True)
    )


@pytest.mark.timeout(600)
def test_every_turn_agrees_with_what_plan_has_said() -> None:
    run_state_machine_as_test(
        Asking, settings=settings(SETTINGS, max_examples=ASKING, stateful_step_count=LENGTH, derandomize=True)
    )


@pytest.mark.timeout(600)
def test_every_outcome_is_told_once() -> None:
    """Exactly one terminal state for each attempt and channel, whatever dies when."""
    logger.disable("reconciler.report")
    try:
        run_state_machine_as_test(
            Reporting, settings=settings(SETTINGS, max_examples=REPORTING, stateful_step_count=LENGTH, derandomize=True)
        )
    finally:
        logger.enable("reconciler.report")


@pytest.mark.timeout(600)
def test_no_commit_is_tried_where_nothing_enforces_its_limits() -> None:
    run_state_machine_as_test(
        Unlimited, settings=settings(SETTINGS, max_examples=UNLIMITED, stateful_step_count=LENGTH, derandomize=True)
    )


@pytest.mark.parametrize("bug", planted.BUGS, ids=lambda bug: bug.name)
def test_what_is_planted_still_has_its_place(bug: planted.Bug) -> None:
    assert planted.source(bug).count(bug.right) == 1


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("bug", planted.BUGS, ids=lambda bug: bug.name)
def test_every_planted_bug_is_found(bug: planted.Bug, tmp_path: Path) -> None:
    found = planted.simulate_with(bug, tmp_path)
    assert found.returncode == 1, "nobody noticed"
    assert "Failing test case" in found.stderr, found.stderr[-2000:]
