"""Ways to harm one service of the running stack from outside its program; and a writer that works meanwhile."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.conftest import BASE
from tests.stack.blackbox import Blackbox, compose_document
from tests.stack.meanwhile import Meanwhile

# PID 1 is the init process. Its only child is killed, as in a crash; then the engine restarts the container.
_KILL_CHILD = (
    "for place in /proc/[0-9]*; do read -r line <$place/stat 2>/dev/null || continue; rest=${line##*) }; "
    "set -- $rest; [ $2 = 1 ] && kill -9 ${place#/proc/}; done; true"
)


def kill(stack: Blackbox, service: str) -> None:
    """Kill the main process of the service with SIGKILL."""
    engine = stack.host.engine
    made = engine.exec_create(f"{stack.host.stack}-{service}-1", ["sh", "-c", _KILL_CHILD])
    engine.exec_start(made["Id"])


def fill_memory(stack: Blackbox, service: str) -> None:
    """Run a process in the container that takes more and more memory, until the kernel kills it."""
    engine = stack.host.engine
    made = engine.exec_create(f"{stack.host.stack}-{service}-1", ["tail", "/dev/zero"])
    engine.exec_start(made["Id"])


@contextmanager
def cut_off(stack: Blackbox, service: str) -> Iterator[None]:
    """Disconnect the service from all its networks. Afterwards reconnect it, unless the agent has done so."""
    container = f"{stack.host.stack}-{service}-1"
    engine = stack.host.engine
    networks = stack.host.container(service)["NetworkSettings"]["Networks"]
    for name in networks:
        engine.disconnect_container_from_network(container, name)
    try:
        yield
    finally:
        present = stack.host.container(service)["NetworkSettings"]["Networks"]
        for name in networks.keys() - present.keys():
            engine.connect_container_to_network(container, name, aliases=[service])


def on_small_volumes(services: Collection[str], sizes: Mapping[str, tuple[int, str]]) -> dict[str, Any]:
    """The Compose file with only these services. `sizes`: volume → its owner's number and its size, as a tmpfs.

    The service `keeper` keeps the volumes mounted, so that their data stays while another service is down.
    """
    document = compose_document()
    document["services"] = {name: document["services"][name] for name in services}
    used = {secret for service in document["services"].values() for secret in service.get("secrets", ())}
    document["secrets"] = {name: document["secrets"][name] for name in used}
    for name, (owner, size) in sizes.items():
        options = {"type": "tmpfs", "device": "tmpfs", "o": f"size={size},uid={owner},gid={owner},mode=0700"}
        document["volumes"][name] = {"driver_opts": options}
    document["services"]["keeper"] = {
        "image": BASE, "command": ["sleep", "infinity"], "restart": "unless-stopped", "init": True, "mem_limit": "16m",
        "healthcheck": {"test": ["CMD", "true"]}, "volumes": [f"{name}:/{name}" for name in sizes],
    }  # fmt: skip
    return document


@contextmanager
def full_disk(stack: Blackbox, service: str, folder: str) -> Iterator[None]:
    """Fill the volume at `folder` (it must be small) to the last byte, and make room again at the end."""
    ballast = f"{folder}/ballast"
    stack.host.exec(f"{service}-1", f"cat /dev/zero >{ballast} 2>/dev/null || true")
    try:
        yield
    finally:
        stack.host.exec(f"{service}-1", f"rm -f {ballast}")


def restarts(stack: Blackbox, service: str) -> int:
    return int(stack.host.container(service)["RestartCount"])


def ooms(stack: Blackbox, service: str, since: float) -> int:
    """How many out-of-memory kills the container had since `since` (seconds of the Unix epoch)."""
    filters = {"type": "container", "event": "oom", "container": f"{stack.host.stack}-{service}-1"}
    told = stack.host.engine.events(since=int(since), until=int(time.time()) + 1, filters=filters)
    return len(b"".join(told).splitlines())  # type: ignore[arg-type]  # it is bytes; the type stubs are wrong


class Writer(Meanwhile):
    """Writes numbered documents one after the other, each with a link to the one before. It tries each document until
    it is acknowledged. `acknowledged`: paths. `refused`: the errors."""

    def __init__(self, stack: Blackbox, place: str) -> None:
        super().__init__()
        self._stack, self._place = stack, place
        self.acknowledged: list[str] = []
        self.refused: list[str] = []

    def _run(self) -> None:
        while not self._stopped.is_set():
            number = len(self.acknowledged)
            links = [{"kind": "follows", "path": f"{self._place}/{number - 1}"}] if number else []
            path = f"{self._place}/{number}"
            item = {"path": path, "title": f"Document {number}", "content": f"Number {number} of {self._place}.",
                    "links": links}  # fmt: skip
            problem = self._put(item)
            if problem:
                self.refused.append(problem)
                self._stopped.wait(0.2)
            else:
                self.acknowledged.append(path)

    def _put(self, item: dict[str, Any]) -> str:
        try:
            status, document = self._stack.ask("POST", "/api/v1/artifacts/batch", {"artifacts": [item]})
        except (OSError, ValueError) as error:
            return type(error).__name__
        return "" if status == 200 else f"{status} {document}"

    def went_on(self, count: int = 5) -> bool:
        """Whether `count` more documents are acknowledged within a second. Callers repeat it until it is true."""
        before = len(self.acknowledged)
        time.sleep(1.0)
        return len(self.acknowledged) >= before + count

    def lost(self) -> list[str]:
        """Paths of acknowledged documents that are not in PostgreSQL, have no embedding, or have no link in Neo4j.

        Links are checked for every third document.
        """
        stored = self._stack.psql(
            "SELECT a.path || ' ' || a.id FROM artifacts a JOIN chunks c ON c.artifact_id = a.id "
            "JOIN embeddings_1 e ON e.chunk_id = c.id WHERE starts_with(a.path, '" + self._place + "/')"
        )
        ids = dict(line.split() for line in stored.splitlines())
        missing = [path for path in self.acknowledged if path not in ids]
        return missing + [path for path in self.acknowledged[1::3] if path in ids and not self._linked(ids[path])]

    def _linked(self, identity: str) -> bool:
        status, graph = self._stack.ask("GET", f"/api/v1/graph/neighbours/{identity}?kind=follows")
        return status == 200 and any(edge["source"] == identity for edge in graph["edges"])
