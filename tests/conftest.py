"""Fixtures for all tests: the real engine, both Compose versions, a stack's name that is cleaned up, images."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path

import docker
import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from reconciler.engine import connect
from reconciler.errors import Away

# The duration of a test depends mostly on the other work of the machine.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parent.parent
PLUGIN_FOLDERS = (
    Path.home() / ".docker/cli-plugins",
    Path("/usr/libexec/docker/cli-plugins"),
    Path("/usr/lib/docker/cli-plugins"),
    Path("/usr/local/lib/docker/cli-plugins"),
    Path("/usr/local/libexec/docker/cli-plugins"),
    Path("/opt/homebrew/lib/docker/cli-plugins"),
)
BASE = "debian:trixie-slim"
DOCKERFILES = {
    "actor": f"FROM {BASE}\n",
    "store": f"FROM {BASE}\nVOLUME /store\n",
    "checked": f"FROM {BASE}\nHEALTHCHECK --interval=200ms --start-interval=200ms CMD test -e /tmp/healthy\n",
}
"""actor does what its command says; store declares an anonymous volume; checked has a health check of its own."""


ALONE = ("tests/stack/test_whole.py", "tests/corpus", "tests/test_example.py", "tests/e2e/test_bounds.py")
"""Files that never run at the same time, because they use the same ports, names, images or memory."""

LONG = (*ALONE, "tests/simulator", "tests/faults", "tests/e2e", "tests/hostile", "tests/contract")
"""The longest files first, so that no process waits for another one's last file."""


class ByFile(LoadFileScheduling):
    """Each file in one process; files that cannot run at the same time in the same process."""

    def _split_scope(self, nodeid: str) -> str:
        return "alone" if nodeid.startswith(ALONE) else str(super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFile | None:
    return ByFile(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: next((n for n, begin in enumerate(LONG) if item.nodeid.startswith(begin)), len(LONG)))


@contextmanager
def one_at_a_time(what: str) -> Iterator[None]:
    """Wait while another process of these tests does the same."""
    with (Path(tempfile.gettempdir()) / f"reconciler-test-{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def missing(what: str) -> None:
    """Skip on a developer's machine. A CI job must not pass because an engine is missing."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


def find_compose() -> list[Path]:
    """Every Compose binary to test with, oldest first, each once."""
    listed = os.environ.get("RECONCILER_TEST_COMPOSE")
    if listed:
        return [Path(item) for item in listed.split(":") if item]
    kept = sorted(ROOT.glob(".build/compose/[0-9]*/docker-compose"))
    plugins = [folder / "docker-compose" for folder in PLUGIN_FOLDERS]
    found: dict[Path, Path] = {}
    for binary in [*kept, *plugins]:
        if os.access(binary, os.X_OK):
            found.setdefault(binary.resolve(), binary)
    return list(found.values())


def project_labels(stack: str, **more: str) -> dict[str, str]:
    """The labels by which a container belongs to a Compose project. `more`: without Compose's prefix."""
    own = {"project": stack, "config-hash": "0", **more}
    return {f"com.docker.compose.{name}": value for name, value in own.items()}


def engine_address() -> str:
    return os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "compose_binary" in metafunc.fixturenames:
        binaries = find_compose()
        names = [f"compose-{binary.parent.name}" for binary in binaries]
        metafunc.parametrize("compose_binary", binaries or [None], ids=names or ["no-compose"], indirect=True)


@pytest.fixture
def compose_binary(request: pytest.FixtureRequest) -> Path:
    """The path of a Compose binary: the test runs once for each installed version."""
    if request.param is None:
        missing("no Compose binary: scripts/setup.sh --tests gets two versions")
    path: Path = request.param
    return path


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.APIClient]:
    """A client of the real engine."""
    client = connect(engine_address())
    try:
        client.ping()
    except (Away, docker.errors.DockerException, OSError) as error:
        missing(f"no engine at {engine_address()}: {error}")
    yield client
    client.close()


@pytest.fixture(scope="session")
def images(engine: docker.APIClient) -> dict[str, str]:
    """name → id of the images that tests start, made from the base image alone."""
    if not engine.images(BASE):
        missing(f"the base image {BASE} is not here: scripts/setup.sh --tests gets or makes it")
    with one_at_a_time("images"):
        return {name: build_image(engine, name, text) for name, text in DOCKERFILES.items()}


def some_subnet() -> str:
    """The first three numbers of a subnet that hardly any other test uses, or has left behind."""
    number = uuid.uuid4().bytes
    return f"10.{128 + number[0] % 64}.{number[1]}"


def build_image(engine: docker.APIClient, name: str, dockerfile: str) -> str:
    tag = f"reconciler-test/{name}"
    for line in engine.build(fileobj=BytesIO(dockerfile.encode()), tag=tag, rm=True, decode=True):
        assert "error" not in line, line
    return str(engine.inspect_image(tag)["Id"])


@pytest.fixture
def stack_name(engine: docker.APIClient) -> Iterator[str]:
    """A name that no other test has. Containers, networks and volumes of that project are removed at the end."""
    name = f"rt{uuid.uuid4().hex[:10]}"
    yield name
    sweep(engine, name)


ANONYMOUS = 64
"""Length of the names that the engine gives. A volume that was taken over by such a name is not removed with `v`."""


def sweep(engine: docker.APIClient, project: str) -> None:
    ours = {"label": f"com.docker.compose.project={project}"}
    anonymous = set()
    deadline = time.monotonic() + 60
    while found := engine.containers(all=True, filters=ours):
        assert time.monotonic() < deadline, [item["Names"] for item in found]
        for container in found:
            mounts = {mount["Name"] for mount in container["Mounts"] if mount["Type"] == "volume"}
            anonymous |= {name for name in mounts if len(name) == ANONYMOUS}
            # The engine may still carry out requests of a killed agent: the container may be half removed, or gone.
            try:
                engine.remove_container(container["Id"], v=True, force=True)
            except docker.errors.APIError:
                time.sleep(0.1)
    for name in anonymous:
        with suppress(docker.errors.APIError):  # it was removed with its container, or another one has it
            engine.remove_volume(name)
    for network in engine.networks(filters=ours):
        engine.remove_network(network["Id"])
    for volume in engine.volumes(filters=ours)["Volumes"] or ():
        engine.remove_volume(volume["Name"])
