"""`world`: each test of the contract runs on the machine in memory, and on the engine with every Compose version."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import docker
import pytest

from reconciler.act.compose import ComposeCreator
from reconciler.act.engine import EngineApplier
from reconciler.effects import Effects
from reconciler.model.creation import Creation
from reconciler.model.desired import Stack
from reconciler.observe.engine import EngineObserver
from tests.conftest import engine_address, find_compose, missing, project_labels, sweep
from tests.contract.services import HOST
from tests.contract.worlds import RealClock, World
from tests.fakes.machine import FakeMachine

FAKE = "fake"
"""The parameter of the machine in memory; the others are paths of Compose binaries."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "world" in metafunc.fixturenames:
        real = [
            pytest.param(binary, marks=pytest.mark.engine, id=f"compose-{binary.parent.name}")
            for binary in (find_compose() or [None])  # type: ignore[list-item]  # no Compose: the test says so
        ]
        metafunc.parametrize("world", [pytest.param(FAKE, id=FAKE), *real], indirect=True)


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == FAKE:
        yield fake_world()
    elif request.param is None:
        missing("no Compose binary: scripts/setup.sh --tests gets two versions")
    else:
        yield from real_world(request)


def fake_world() -> World:
    machine = FakeMachine(host=HOST)
    images = {name: f"sha256:{name}" for name in ("actor", "store", "checked")}
    machine.image_volumes[images["store"]] = ("/store",)
    return World(
        "shop", machine.observer, machine.applier, machine.clock, images,
        lambda name, port: machine.add_foreign(name, 64 << 20, [("0.0.0.0", port, "tcp")]),
        lambda container: machine.containers[container].restart_count, machine,
    )  # fmt: skip


def real_world(request: pytest.FixtureRequest) -> Iterator[World]:
    client: docker.APIClient = request.getfixturevalue("engine")
    images: dict[str, str] = request.getfixturevalue("images")
    stack: str = request.getfixturevalue("stack_name")
    neighbour = f"{stack}-neighbour"

    def foreign(name: str, port: int) -> None:
        host = client.create_host_config(port_bindings={80: ("0.0.0.0", port)})
        labels = project_labels(neighbour)
        made = client.create_container(
            images["actor"], ["sleep", "60"], name=name, ports=[80], host_config=host, labels=labels
        )
        client.start(made["Id"])

    applier = ComposeApplier(client, request.param)

    def restarts(container: str) -> int:
        return int(client.inspect_container(container)["RestartCount"])

    yield World(stack, EngineObserver(client, HOST), applier, RealClock(), images, foreign, restarts)
    sweep(client, neighbour)


class ComposeApplier(EngineApplier):
    """Both parts of the applier: the engine's, and Compose's."""

    def __init__(self, client: docker.APIClient, compose: Path) -> None:
        effects = Effects()
        super().__init__(client, effects, HOST)
        self.compose = str(compose)
        self._creator = ComposeCreator(str(compose), engine_address(), effects, os.environ, self.has_made)

    def create(self, stack: Stack, services: Sequence[Creation], existing: Mapping[str, int]) -> None:
        self._creator.create(stack, services, existing)
