"""Fixtures: the API over HTTP, with the real databases of the stack."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from brain.app import create_app
from brain.settings import Settings

WRITE, READ = "w" * 24, "r" * 24


@pytest.fixture(scope="session")
def settings() -> Settings:
    """The settings of the stack, with API keys that the tests know."""
    os.environ.setdefault("POOL_SIZE", "4")
    given = Settings.from_environment()
    return changed(given, api_keys=f"tests write {WRITE}\nreader read {READ}")


def changed(settings: Settings, **values: Any) -> Settings:
    fields = {name: getattr(settings, name) for name in Settings.__slots__}
    return Settings(**{**fields, **values})


@contextmanager
def serving(settings: Settings) -> Iterator[httpx.Client]:
    """A server of its own, and a client with the key that may write."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(settings), log_config=None, access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            eventually(lambda: server.started)
            address = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {WRITE}"}, timeout=60) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="session")
def api(settings: Settings) -> Iterator[httpx.Client]:
    with serving(settings) as client:
        eventually(lambda: client.get("/health/ready").status_code == 200)
        yield client


@pytest.fixture
def place(api: httpx.Client) -> Iterator[str]:
    """A path prefix that no other test uses. Its artifacts are deleted afterwards."""
    prefix = f"test/{uuid.uuid4().hex}/"
    yield prefix
    api.delete("/api/v1/artifacts", params={"path_prefix": prefix})


def eventually(what: Callable[[], Any], seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        answer = what()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(0.05)


def put(client: httpx.Client, *items: dict[str, Any]) -> list[dict[str, Any]]:
    answer = client.post("/api/v1/artifacts/batch", json={"artifacts": list(items)})
    assert answer.status_code == 200, answer.text
    written: list[dict[str, Any]] = answer.json()["artifacts"]
    return written
