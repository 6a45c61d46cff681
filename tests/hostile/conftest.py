"""Fixtures of these tests: one Compose, if its version makes no difference."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import find_compose, missing
from tests.e2e.conftest import every_compose, told

__all__ = ["every_compose", "told"]


@pytest.fixture(scope="session")
def newest_compose() -> Path:
    composes = find_compose()
    if not composes:
        missing("no Compose binary: scripts/setup.sh --tests gets two versions")
    return composes[-1]
