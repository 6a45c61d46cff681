"""`host` and `hosts`: agents with a repository and a stack of their own, cleaned up afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import docker
import pytest

from tests.conftest import find_compose, missing
from tests.e2e.host import Host, new_host


@pytest.fixture(scope="session")
def every_compose(engine: docker.APIClient, images: dict[str, str]) -> list[Path]:
    """Every Compose binary, oldest first, on a machine that is ready for these tests."""
    found = find_compose()
    if not found:
        missing("no Compose binary: scripts/setup.sh --tests gets two versions")
    return found


@pytest.fixture(scope="session")
def compose(every_compose: list[Path]) -> Path:
    """The newest Compose."""
    return every_compose[-1]


@pytest.fixture
def host(tmp_path: Path, compose: Path) -> Iterator[Host]:
    with new_host(tmp_path, compose) as made:
        yield made


@pytest.fixture
def hosts(tmp_path: Path, every_compose: list[Path]) -> Iterator[list[Host]]:
    """One for each Compose version."""
    with ExitStack() as stack:
        yield [stack.enter_context(new_host(tmp_path / str(n), item)) for n, item in enumerate(every_compose)]
