"""`host`: an agent with a repository and a stack of its own, cleaned up afterwards."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.conftest import find_compose, missing, sweep
from tests.e2e.host import Host


def newest_compose() -> Path:
    found = find_compose()
    if not found:
        missing("no Compose binary: scripts/setup.sh --tests gets two versions")
    return found[-1]


@pytest.fixture
def host(engine: docker.APIClient, images: dict[str, str], tmp_path: Path) -> Iterator[Host]:
    """With the newest Compose there is."""
    yield from new_host(tmp_path, engine, newest_compose())


@pytest.fixture
def each_host(
    engine: docker.APIClient, images: dict[str, str], tmp_path: Path, compose_binary: Path
) -> Iterator[Host]:
    """One after the other with every Compose version."""
    yield from new_host(tmp_path, engine, compose_binary)


def new_host(folder: Path, engine: docker.APIClient, compose: Path) -> Iterator[Host]:
    made = Host(folder, f"e{uuid.uuid4().hex[:8]}", engine, compose)
    yield made
    sweep(engine, made.stack)
    made.close()
