"""The cheap look equals the library's list, and says so if nothing is known."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest

from reconciler.errors import Away
from reconciler.model.observed import Container, ObservedState
from reconciler.observe.engine import EngineObserver
from reconciler.observe.quick import QuickObserver
from tests.conftest import engine_address, project_labels


class Full:
    """The observer that is made if the cheap look is not possible."""

    def look(self, stacks: Any) -> ObservedState:
        return ObservedState(containers=(Container("full", "full", "shop", "web", 1, "running"),))

    def watch(self) -> str:
        return "watching"


@contextmanager
def engine_that_says(answer: bytes) -> Iterator[str]:
    """The address of an engine that says which API it speaks, and gives this answer to the next request."""
    # Not in pytest's folder: the path of a unix socket is short.
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        path = str(Path(folder) / "engine.sock")
        server.bind(path)
        server.listen()

        def serve() -> None:
            for said in (b"HTTP/1.0 200 OK\r\n\r\nOK", answer):
                connection, _ = server.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(said)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"unix://{path}"
        thread.join()


def quick(address: str) -> QuickObserver:
    return QuickObserver(address, Full)


def test_an_engine_that_is_not_there_is_away() -> None:
    with pytest.raises(Away, match="does not answer"):
        quick("unix:///nonexistent/engine.sock").look(["shop"])


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.0 200 OK\r\nContent-Length: 50\r\n\r\n[]", b"\r\n\r\n"])
def test_an_answer_that_breaks_off_is_none(answer: bytes) -> None:
    with engine_that_says(answer) as address, pytest.raises(Away, match="cut off"):
        quick(address).look(["shop"])


def test_a_list_that_breaks_off_and_looks_whole_is_none() -> None:
    with engine_that_says(b'HTTP/1.0 200 OK\r\n\r\n[{"Id": "a", "Na') as address, pytest.raises(Away):
        quick(address).look(["shop"])


def test_what_the_engine_shows_is_taken() -> None:
    entry = b'[{"Id": "a", "Names": ["/shop-web-1"], "State": "running", '
    entry += b'"Labels": {"com.docker.compose.project": "shop", "com.docker.compose.config-hash": "0"}}]'
    with engine_that_says(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + entry) as address:
        [found] = quick(address).look(["shop"]).containers
    assert (found.name, found.state) == ("shop-web-1", "running")


def test_another_answer_than_the_list_is_left_to_the_library() -> None:
    with engine_that_says(b"HTTP/1.1 400 Bad Request\r\n\r\n{}") as address:
        assert quick(address).look(["shop"]).containers[0].id == "full"


def test_an_engine_elsewhere_is_left_to_the_library() -> None:
    assert quick("tcp://127.0.0.1:1").look(["shop"]).containers[0].id == "full"


def test_without_stacks_nobody_is_asked() -> None:
    assert quick("unix:///nonexistent/engine.sock").look([]) == ObservedState()


def test_all_else_comes_from_the_whole_observer() -> None:
    assert quick("unix:///nonexistent/engine.sock").watch() == "watching"


@pytest.mark.engine
@pytest.mark.parametrize("others", [[], ["another"]])
def test_it_sees_what_the_library_sees(
    engine: docker.APIClient, images: dict[str, str], stack_name: str, others: list[str]
) -> None:
    for number in (1, 2):
        labels = project_labels(stack_name, service=f"s{number}")
        engine.start(engine.create_container(images["actor"], ["sleep", "60"], labels=labels)["Id"])
    seen = QuickObserver(engine_address(), Full).look([stack_name, *others])
    assert len(seen.containers) == 2
    assert seen == EngineObserver(engine, "mini").look([stack_name, *others])


@pytest.mark.engine
def test_a_look_that_differs_in_ages_only_is_the_same_look(
    engine: docker.APIClient, images: dict[str, str], stack_name: str
) -> None:
    labels = project_labels(stack_name, service="web")
    id = engine.create_container(images["actor"], ["sleep", "600"], labels=labels)["Id"]
    engine.start(id)
    observer = QuickObserver(engine_address(), Full)
    first, words = observer.look([stack_name]), _words(engine, id)
    while _words(engine, id) == words:
        time.sleep(0.2)
    assert observer.look([stack_name]) is first
    engine.kill(id)
    engine.wait(id)
    ended = observer.look([stack_name])
    assert ended.containers[0].state == "exited"
    assert ended == EngineObserver(engine, "mini").look([stack_name])
    engine.start(id)
    assert observer.look([stack_name]) == first


def _words(engine: docker.APIClient, id: str) -> str:
    """`Up 5 seconds`."""
    return str(engine.containers(all=True, filters={"id": id})[0]["Status"])
