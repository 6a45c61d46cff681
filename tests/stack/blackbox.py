"""This repository's own Blackbox stack on a test host: with another name, another port and new secrets."""

from __future__ import annotations

import http.client
import json
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT
from tests.e2e.host import Answer, Host

FOLDER = "compose/blackbox"
SECRETS = ("POSTGRES_BRAIN_OWNER", "POSTGRES_BRAIN", "NEO4J_PASSWORD", "WATCHER_KEY")
KEY = "k" * 32

Json = Mapping[str, Any]
Files = Mapping[str, str | bytes]


def stack_files() -> dict[str, str | bytes]:
    """The files of the stack in this repository, without caches: path → content."""
    paths = (path for path in (ROOT / FOLDER).rglob("*") if path.is_file() and "cache" not in str(path))
    return {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in sorted(paths)}


def environment(**changes: str) -> str:
    """The stack's .env with these values changed."""
    lines = (ROOT / FOLDER / ".env").read_text().splitlines()
    kept = [line for line in lines if line.partition("=")[0] not in changes]
    return "\n".join([*kept, *(f"{name}={value}" for name, value in changes.items())]) + "\n"


def compose_document() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / FOLDER / "compose.yaml").read_text())
    return document


class Blackbox:
    """`push` commits the stack with changes. `further`: more stacks for the Host document."""

    def __init__(self, host: Host) -> None:
        host.patience = 1700.0
        self.host = host
        self.further: list[Json] = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        folder = host.secrets / host.stack
        folder.mkdir(mode=0o700)
        # Each value begins with a dash: a program that takes it for an option fails the test.
        values = {name: f"-{secrets.token_urlsafe(24)}" for name in SECRETS}
        keys = f"tests write {KEY}\nwatcher write {values['WATCHER_KEY']}"
        self.secrets = {**values, "BRAIN_API_KEYS": keys}
        for name, value in self.secrets.items():
            (folder / name).touch(mode=0o600)
            (folder / name).write_text(value)

    def push(self, changes: Files | None = None, services: Json | None = None, only: Sequence[str] = ()) -> str:
        """Commit the stack; returns the sha. `changes`: files that replace the repository's. `services`: keys that
        replace those of the Compose file. `only`: the services to keep; empty: all."""
        files = {**stack_files(), f"desired-state/{self.host.name}.yaml": self._document()}
        document = compose_document()
        for name, service in (services or {}).items():
            document["services"][name] = {**document["services"].get(name, {}), **service}
        if only:
            document["services"] = {name: document["services"][name] for name in only}
        files[f"{FOLDER}/compose.yaml"] = json.dumps(document)
        return self.host.push_files({**files, **(changes or {})})

    def _document(self) -> str:
        document = yaml.safe_load((ROOT / "desired-state/mini.yaml").read_text())
        document["metadata"]["name"] = self.host.name
        stack = next(item for item in document["spec"]["stacks"] if item["name"] == "blackbox")
        stack |= {"name": self.host.stack, "env": {"BRAIN_API_PORT": str(self.port)}}
        # The tests' machine has two cores, shared with other tests: it is slower than the machine in the file.
        stack["gate"] = {"min_healthy_time": "3s", "healthy_deadline": "15m", "progress_deadline": "15m"}
        if self.further:
            stack["exports"] = {"networks": ["agents-metrics", "brain", "postgres"]}
        document["spec"]["stacks"] = [stack, *self.further]
        # Containers of other tests count as well. Steady services may take 11.2 GiB, as in the file.
        document["spec"]["memory"] |= {"budget": "23GiB", "steady": "48.7%"}
        return json.dumps(document)

    def once(self) -> Answer:
        return self.host.once()

    def ask(self, method: str, path: str, body: Json | None = None, patience: float = 30.0) -> tuple[int, Any]:
        """Status and document of one request to brain-api, from this machine. TimeoutError after `patience` seconds."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=patience)
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None

    def psql(self, query: str) -> str:
        """The output of one query as the superuser, who can log in only through the container's socket."""
        return self.host.exec("postgres-1", f'psql --dbname=brain -qAtc "{query}"')

    def running(self) -> dict[str, tuple[str, str]]:
        """Container → id and time of its start."""
        return {name: (item["Id"], item["State"]["StartedAt"]) for name, item in self.host.containers().items()}


@contextmanager
def blackbox(folder: Path, compose: Path) -> Iterator[Blackbox]:
    host = Host(folder, compose)
    try:
        yield Blackbox(host)
    finally:
        host.close()
