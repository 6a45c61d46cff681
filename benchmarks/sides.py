"""The two sides of a comparison: our agent with its repository, and a clone in which a person runs Compose."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reconciler.decide.redact import Redactor
from reconciler.logs import start_logs
from reconciler.observe.binary import find_compose
from reconciler.settings import load_settings
from reconciler.verbs.agent import AgentVerbs
from reconciler.wiring import assembly
from tests.conftest import BASE, sweep
from tests.e2e.host import Host
from tests.repository import ENVIRONMENT

Services = dict[str, dict[str, Any]]

IMAGE = os.environ.get("BENCHMARK_IMAGE", BASE)
NO_GATE = {"min_healthy_time": "0s", "healthy_deadline": "2m", "progress_deadline": "2m"}
MEMORY = {"budget": "1TiB", "steady": "100%", "reserve": "0"}
"""A budget larger than any machine, so that only the engine's memory is the bound."""

PROBE = {"test": ["CMD", "true"], "interval": "2s", "timeout": "30s", "start_period": "60s", "start_interval": "500ms"}


def services(number: int, probe: Mapping[str, Any] | None = PROBE) -> Services:
    """`number` services in chains of three: the second depends on the first, the third on the second."""
    condition = "service_healthy" if probe else "service_started"
    found: Services = {}
    for n in range(number):
        service: dict[str, Any] = {
            "image": IMAGE, "command": ["sleep", "infinity"], "init": True, "mem_limit": "16m",
            "stop_signal": "SIGKILL", "restart": "unless-stopped", "environment": {"VERSION": "1"},
        }  # fmt: skip
        if probe:
            service["healthcheck"] = dict(probe)
        if n % 3:
            service["depends_on"] = {f"s{n - 1}": {"condition": condition}}
        found[f"s{n}"] = service
    return found


def changed(services: Services, name: str, version: str) -> Services:
    """The same services, but `name` has another environment."""
    return {**services, name: {**services[name], "environment": {"VERSION": version}}}


class Ours(Host):
    """Our side: an agent with one stack. `interval`: seconds between its polls."""

    def __init__(self, folder: Path, interval: float = 30.0) -> None:
        self.interval = interval
        super().__init__(folder, Path(find_compose(None, os.environ)))

    def configure(self, **settings: Any) -> None:
        source = {"url": str(self.repository.folder), "interval": f"{self.interval:g}s"}
        super().configure(source=source, **settings)

    def commit(self, services: Services) -> str:
        return self.push(services, memory=MEMORY, stack={"gate": NO_GATE})

    def applied(self, services: Services) -> None:
        """Push the services and apply them with one `once`."""
        self.commit(services)
        answer = self.once()
        assert answer.code == 0, answer.document

    @contextmanager
    def agent(self) -> Iterator[subprocess.Popen[str]]:
        """The agent runs during the block, which begins after its first turn."""
        with self.started("run") as process:
            wait_until(lambda: self.good() is not None or not self.repository.git("for-each-ref"))
            yield process

    def good(self) -> str | None:
        """The sha that the agent reports as proven and in sync, or None."""
        try:
            status = json.loads((self.state / "status.json").read_text())
        except (OSError, ValueError):
            return None
        return str(status["lastGoodRevision"]) if status["sync"] == "Synced" else None

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.state / "journal.jsonl").read_text().splitlines()]

    @contextmanager
    def inside(self) -> Iterator[AgentVerbs]:
        """The agent in this process, for measuring its turns."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("RECONCILER_")}
        settings = load_settings(str(self.config), environment)
        redactor = Redactor()
        start_logs("ERROR", redactor)
        with assembly.build(settings, stop=threading.Event(), redactor=redactor).working() as verbs:
            yield verbs


class Theirs:
    """The other side: a bare repository, a clone of it, and Compose, called as people call it."""

    def __init__(self, folder: Path) -> None:
        self.project = f"b{uuid.uuid4().hex[:8]}"
        self.bare, self.clone = folder / "bare.git", folder / "clone"
        folder.mkdir(parents=True, exist_ok=True)
        self._git(folder, "init", "-q", "--bare", "-b", "main", str(self.bare))
        self._git(folder, "clone", "-q", str(self.bare), str(self.clone))
        self._writer = folder / "writer"
        self._git(folder, "clone", "-q", str(self.bare), str(self._writer))

    def commit(self, services: Services) -> None:
        """Push the services from another clone, as a colleague does."""
        (self._writer / "compose.yaml").write_text(json.dumps({"services": services}))
        self._git(self._writer, "add", ".")
        self._git(self._writer, "commit", "-q", "-m", "change")
        self._git(self._writer, "push", "-q", "origin", "HEAD:main")

    def pull(self) -> None:
        self._git(self.clone, "pull", "-q", "--ff-only", "origin", "main")

    def up(self, *options: str) -> None:
        self.compose("up", "-d", *options)

    def compose(self, *arguments: str) -> None:
        done = subprocess.run(
            [*compose_command(), "-p", self.project, *arguments],
            cwd=self.clone, capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    @staticmethod
    def _git(folder: Path, *arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=folder, check=True, env=ENVIRONMENT, capture_output=True)


def compose_command() -> list[str]:
    """`docker compose`, as people type it, if there is a docker command; else the Compose binary."""
    return ["docker", "compose"] if shutil.which("docker") else [find_compose(None, os.environ)]


@contextmanager
def both(interval: float = 30.0) -> Iterator[tuple[Ours, Theirs]]:
    """Both sides. They are removed from the engine and the disk at the end."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        ours, theirs = Ours(Path(folder) / "ours", interval), Theirs(Path(folder) / "theirs")
        try:
            yield ours, theirs
        finally:
            sweep(ours.engine, theirs.project)
            ours.close()


def wait_until(what: Callable[[], Any], seconds: float = 120.0) -> None:
    """Check every 2 ms until `what` is true."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(0.002)
