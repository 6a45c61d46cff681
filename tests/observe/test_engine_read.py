"""The sockets on which tools in containers read the real engine."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from docker.errors import APIError

from reconciler.errors import Locked, Usage
from reconciler.observe.engine_read import MOST_CLIENTS, serve
from tests.conftest import BASE, engine_address

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A state folder whose sockets are served, by a name that is short enough for the clients."""
    folder = tmp_path_factory.mktemp("a-folder-whose-name-is-too-long-for-the-address-of-a-socket" * 2)
    stop = threading.Event()
    serving = threading.Thread(target=serve, args=(folder, engine_address(), stop))
    serving.start()
    wait(lambda: (folder / "engine/engine-logs/docker.sock").exists())
    with tempfile.TemporaryDirectory() as short:
        (Path(short) / "s").symlink_to(folder)
        yield Path(short) / "s"
    stop.set()
    serving.join(30)
    assert not (folder / "engine/engine-read/docker.sock").exists()


@pytest.fixture(scope="module")
def container(engine: docker.APIClient) -> Iterator[str]:
    """One with a secret in its environment and its output, and a host folder mounted."""
    name = f"engine-read-{uuid.uuid4().hex[:8]}"
    host = engine.create_host_config(binds=["/tmp:/canary-folder:ro"], init=True)
    command = ["sh", "-c", "echo said by the container; exec sleep infinity"]
    made = engine.create_container(
        BASE, command, name=name, environment={"PASSWORD": "canary"}, labels={"proxy.port": "80"}, host_config=host
    )
    engine.start(made["Id"])
    yield name
    engine.remove_container(made["Id"], force=True)


def client(state: Path, kind: str = "engine-read") -> docker.APIClient:
    return docker.APIClient(f"unix://{state}/engine/{kind}/docker.sock", version="1.44", timeout=30)


def wait(what: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_tool_sees_containers_without_their_secrets(state: Path, container: str) -> None:
    tool = client(state)
    assert tool.ping()
    assert tool.version()["ApiVersion"]
    assert tool.info()["Containers"] > 0
    (listed,) = tool.containers(filters={"name": container})
    assert listed["Labels"]["proxy.port"] == "80"
    seen = tool.inspect_container(container)
    assert seen["Config"]["Env"][0] == "PASSWORD=***"
    assert seen["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    assert "canary" not in str(seen) + str(listed)
    assert tool.inspect_image(seen["Image"])["Id"] == seen["Image"]
    assert any(item["Name"] == "bridge" for item in tool.networks())
    assert tool.stats(container, stream=False)["memory_stats"]


def test_it_can_change_nothing(state: Path, container: str, engine: docker.APIClient) -> None:
    tool = client(state)
    for attempt in (
        lambda: tool.kill(container),
        lambda: tool.remove_container(container, force=True),
        lambda: tool.exec_create(container, ["true"]),
        lambda: tool.get_archive(container, "/etc/passwd"),
        lambda: tool.create_container(BASE, ["true"]),
        lambda: tool.logs(container),
        lambda: tool.volumes(),
    ):
        with pytest.raises(APIError) as refused:
            attempt()
        assert refused.value.status_code == 403
        assert "only reads the engine" in str(refused.value.explanation)
    assert engine.inspect_container(container)["State"]["Running"]


def test_output_is_read_at_the_socket_for_it(state: Path, container: str) -> None:
    tool = client(state, "engine-logs")
    wait(lambda: bool(tool.logs(container)))
    assert tool.logs(container) == b"said by the container\n"


def test_what_the_engine_says_is_passed_on(state: Path) -> None:
    with pytest.raises(APIError) as refused:
        client(state).inspect_container("there-is-none")
    assert refused.value.status_code == 404
    assert "there-is-none" in str(refused.value.explanation)


def test_events_arrive_while_they_happen(state: Path, container: str, engine: docker.APIClient) -> None:
    seen: list[str] = []

    def listen() -> None:
        for event in client(state).events(decode=True, filters={"container": container}):
            seen.append(event["Action"])
            if event["Action"] == "pause":
                break

    listening = threading.Thread(target=listen)
    listening.start()
    wait(lambda: (engine.exec_create(container, ["echo", "canary"]), bool(seen))[1])
    engine.pause(container)
    listening.join(60)
    engine.unpause(container)
    assert not listening.is_alive()
    assert set(seen) == {"exec_create", "pause"}


def test_a_request_inside_another_is_not_passed_on(state: Path, container: str, engine: docker.APIClient) -> None:
    hidden = f"POST /v1.44/containers/{container}/kill HTTP/1.1\r\nHost: x\r\n\r\n"
    for request in (
        f"GET /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: {len(hidden)}\r\n\r\n{hidden}",
        f"GET /_ping HTTP/1.1\r\nHost: x\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n{hidden}",
        f"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n{hidden}",
        f"GET /_ping HTTP/1.1\nHost: x\n\n{hidden}",
        f"GET /_ping?x=\r\n{hidden}",
    ):
        asked(state, request.encode())
    assert engine.inspect_container(container)["State"]["Running"]


def test_bad_requests_are_answered(state: Path) -> None:
    assert b"400 Bad Request" in asked(state, b"nonsense\r\n\r\n")
    assert b"431 " in asked(state, b"GET /_ping HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n")
    assert b"403 Forbidden" in asked(state, "GET /containers/jsön HTTP/1.1\r\n\r\n".encode())


def test_clients_that_stay_do_not_keep_others_out_for_ever(state: Path) -> None:
    silent = [connection(state) for _ in range(MOST_CLIENTS + 5)]
    wait(lambda: b"503 " in asked(state, b"GET /_ping HTTP/1.1\r\n\r\n"))
    for one in silent:
        one.close()
    wait(lambda: b"200 OK" in asked(state, b"GET /_ping HTTP/1.1\r\n\r\n"))


def test_one_process_serves(state: Path) -> None:
    with pytest.raises(Locked):
        serve(state, engine_address(), threading.Event())


def test_an_engine_elsewhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="an engine on this machine"):
        serve(tmp_path, "tcp://mini:2375", threading.Event())


def connection(state: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(30)
    made.connect(f"{state}/engine/engine-read/docker.sock")
    return made


def asked(state: Path, request: bytes) -> bytes:
    with connection(state) as made:
        answer = b""
        try:
            made.sendall(request)
            while data := made.recv(65536):
                answer += data
        except ConnectionError:
            pass
        return answer
