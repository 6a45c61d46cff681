"""Fixtures. `host`: an agent with its own repository and stack. `told`: runs several tests at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.conftest import find_compose, missing
from tests.e2e.host import Host, new_host
from tests.e2e.together import Together, Told


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


@pytest.fixture(scope="module")
def told(
    request: pytest.FixtureRequest, every_compose: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Told]:
    """The results of the selected tests of a module, which all run at the same time."""
    together: Together = request.module.together
    names = {item.name for item in request.session.items if request.node in item.listchain()}
    with together.told(names, tmp_path_factory.mktemp("told"), every_compose) as futures:
        yield futures
