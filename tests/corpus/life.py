"""The commits of one public stack: as published, with one service changed, and broken."""

from __future__ import annotations

import json
import socket
import urllib.request
from collections.abc import Mapping
from typing import Any

import docker
import yaml

from tests.conftest import missing
from tests.corpus.public import FOLDERS, compose_file
from tests.corpus.stacks import Break, Stack
from tests.e2e.host import Host, eventually

GATE = {"min_healthy_time": "1s", "healthy_deadline": "60s", "progress_deadline": "2m", "unhealthy_grace": "1s"}
CHANGE = "stop_grace_period: 7s"
GRACE = 7


def with_line(text: str, service: str, line: str) -> str:
    """The Compose file with one more line in one service, and no other change."""
    lines = text.splitlines()
    at = next(n for n, found in enumerate(lines) if found.strip() == f"{service}:" and n > lines.index("services:"))
    indent = " " * (len(lines[at + 1]) - len(lines[at + 1].lstrip()))
    return "\n".join([*lines[: at + 1], f"{indent}{line}", *lines[at + 1 :], ""])


def leave(stack: Stack) -> dict[str, Any]:
    """The agent config's entries with which the policies let the stack pass, except paths."""
    grant = {"policy": "capability", "values": list(stack.capabilities), "reason": "the published stack needs it"}
    return {
        "trust": "owner" if stack.root else "strangers",
        "grants": [grant] if stack.capabilities else [],
        "address_pool": list(stack.subnets),
    }


class PublicStack:
    """A stack of the corpus in the repository of a host; the Compose file lies below the stack's name."""

    def __init__(self, stack: Stack, host: Host) -> None:
        self.stack, self.host = stack, host
        self.source = compose_file(FOLDERS[stack.name])
        self.published = self.source.read_text()
        self.model: dict[str, Any] = yaml.safe_load(self.published)

    def configure(self) -> None:
        """The agent config, with entries for what the policies would deny."""
        why = "the published stack needs it"
        binds = [
            {"path": path, "host": self._given(path), "read_only": False, "reason": why} for path in self.stack.binds
        ]
        self.host.configure(**leave(self.stack), binds=binds)

    def push(self, text: str, spoilt: Mapping[str, str] | None = None) -> str:
        folder = self.stack.name
        env = self.source.parent / ".env"
        beside = {**self.stack.beside(), **({".env": env.read_text()} if env.exists() else {}), **(spoilt or {})}
        files = {f"{folder}/{path}".replace("/./", "/"): content for path, content in beside.items()}
        file = f"{folder}/{self.source.name}"
        return self.host.push_files({f"desired-state/{self.host.name}.yaml": self._document(file), file: text, **files})

    def changed(self) -> str:
        return with_line(self.published, self.stack.change, CHANGE)

    def push_spoilt(self) -> str:
        where, how = self.stack.broken
        if how is not Break.BUILD:
            return self.push(with_line(self.changed(), where, how))
        dockerfile = f"{where}/Dockerfile"
        return self.push(self.changed(), {dockerfile: f"{self.stack.beside()[dockerfile]}{how}\n"})

    def name(self, service: str) -> str:
        """Name of a service's container."""
        given = self.model["services"][service].get("container_name")
        return given or f"{self.host.stack}-{service}-1"

    def answers(self) -> None:
        """Every address of the stack gives the expected answer within a few seconds."""
        for address, expected in self.stack.asks.items():
            eventually(lambda address=address, expected=expected: expected in get(f"http://127.0.0.1{address}"))

    def needs_a_free_machine(self, engine: docker.APIClient) -> None:
        """Skip if a port or a name of the public file is in use."""
        names = {item["Names"][0].lstrip("/") for item in engine.containers(all=True)}
        for service in self.model["services"].values():
            if service.get("container_name") in names:
                missing(f"a container named {service['container_name']} is here already")
            for port in map(str, service.get("ports") or ()):
                published, kind = int(port.split(":")[0]), port.partition("/")[2] or "tcp"
                if not is_free(published, kind):
                    missing(f"port {published}/{kind} is taken")

    def _document(self, file: str) -> str:
        stack: dict[str, Any] = {"name": self.host.stack, "files": [file]}
        if self.stack.env:
            stack["env"] = dict(self.stack.env)
        spec = {"defaults": {"gate": GATE}, "stacks": [stack]}
        document = {"apiVersion": "reconciler/v1", "kind": "Host", "metadata": {"name": self.host.name}, "spec": spec}
        return json.dumps(document, indent=1)

    def _given(self, path: str) -> str:
        folder = self.host.folder / "given" / path.strip("/").replace("/", "-")
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)


def get(address: str) -> str:
    """The text of a page; '' if nobody answers."""
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def is_free(port: int, kind: str) -> bool:
    with socket.socket(type=socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True
