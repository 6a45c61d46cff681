"""Images with the names of the public stacks while the tests run, and a stack in a host's repository."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.conftest import missing
from tests.corpus import image_names
from tests.corpus.life import PublicStack
from tests.corpus.public import newest_compose
from tests.e2e.host import new_host


@pytest.fixture(scope="session")
def public_images(engine: docker.APIClient) -> Iterator[None]:
    if not engine.images("debian:trixie-slim"):
        missing("the base image debian:trixie-slim is not here: scripts/setup.sh --tests gets or makes it")
    image_names.build(newest_compose())
    with image_names.lent(engine):
        yield


@pytest.fixture
def public(
    request: pytest.FixtureRequest, engine: docker.APIClient, public_images: None, tmp_path: Path
) -> Iterator[PublicStack]:
    with new_host(tmp_path, newest_compose()) as host:
        made = PublicStack(request.param, host)
        made.needs_a_free_machine(engine)
        made.configure()
        yield made
