"""Each folder of tests/cases/plan: desired state, observed state, and the plan that people would expect."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.decide.planning import plan_of, text_of
from tests.golden import folders, matches


@pytest.mark.parametrize("case", folders("plan"), ids=lambda case: case.name)
def test_plan(case: Path) -> None:
    wanted = yaml.safe_load((case / "desired.yaml").read_text())
    there = yaml.safe_load((case / "observed.yaml").read_text()) or {}
    matches(case / "plan.txt", text_of(plan_of(wanted, there)))
