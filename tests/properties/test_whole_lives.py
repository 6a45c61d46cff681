"""Random lives: whatever people push and whatever befalls the machine, it ends well."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings

from tests.properties.lives import Script
from tests.properties.player import play
from tests.properties.scripts import scripts

LIVES = 300
SOAK_LIVES = int(os.environ.get("RECONCILER_SOAK_LIVES", "20000"))
TOO_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=LIVES, deadline=None, suppress_health_check=TOO_SLOW, derandomize=True)
@given(scripts())
def test_every_life_ends_well(script: Script) -> None:
    play(script)


@pytest.mark.soak
@pytest.mark.timeout(0)
@settings(max_examples=SOAK_LIVES, deadline=None, suppress_health_check=TOO_SLOW, database=None)
@given(scripts(most=20))
def test_every_long_life_ends_well(script: Script) -> None:
    play(script)
