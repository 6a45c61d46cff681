"""A Compose project in a folder of its own, started by hand, and its adoption."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any

import yaml

from tests.e2e.host import GATE, Answer, Host
from tests.repository import ENVIRONMENT

Facts = Mapping[str, tuple[str, str]]


class Project:
    """The folder has the name of the host's stack, so Compose gives the project this name. Its git origin is the
    repository that the agent watches."""

    def __init__(self, host: Host, files: Mapping[str, str]) -> None:
        self.host, self.folder = host, host.folder / host.stack
        self.folder.mkdir()
        host.config = host.folder / "agent.yaml"
        self.write(files)

    def write(self, files: Mapping[str, str]) -> None:
        for path, text in files.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_text(text)

    def up(self, *options: str, **variables: str) -> None:
        """`docker compose OPTIONS up -d`, by hand, with these variables."""
        environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **variables}
        environment["COMPOSE_BAKE"] = "false"  # Compose 2.40 needs a newer buildx than many machines have
        if "DOCKER_HOST" in os.environ:
            environment["DOCKER_HOST"] = os.environ["DOCKER_HOST"]
        done = subprocess.run(
            [str(self.host.compose), *options, "up", "-d"], cwd=self.folder, env=environment, capture_output=True,
            text=True, timeout=300, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def init(self, **spec: Any) -> Answer:
        """`reconciler init` in the folder; then a quicker gate is set. `spec`: further keys of the Host document."""
        self.git("init", "-q", "-b", "main")
        self.git("remote", "add", "origin", str(self.host.repository.folder))
        state = ["--state", str(self.host.state)]
        answer = self.host.run("init", str(self.folder), "--host", self.host.name, *state, **self.environment)
        if answer.code == 0:
            path = self.folder / f"desired-state/{self.host.name}.yaml"
            document = yaml.safe_load(path.read_text())
            document["spec"]["defaults"]["gate"] = GATE
            document["spec"] |= spec
            path.write_text(json.dumps(document, indent=1))
        return answer

    def commit(self, files: Mapping[str, str] | None = None) -> str:
        """Commit and push everything that is not ignored; returns the sha."""
        self.write(files or {})
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "a commit")
        self.git("push", "-q", "origin", "main")
        return self.git("rev-parse", "HEAD")

    def revert(self) -> str:
        """`git revert` of the newest commit."""
        self.git("revert", "--no-edit", "HEAD")
        self.git("push", "-q", "origin", "main")
        return self.git("rev-parse", "HEAD")

    def once(self) -> Answer:
        return self.host.once(**self.environment)

    def plan(self) -> Answer:
        return self.host.run("plan", **self.environment)

    def lives(self) -> Facts:
        """Name → id of the container and time of its start."""
        return {name: (item["Id"], item["State"]["StartedAt"]) for name, item in self.host.containers().items()}

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=self.folder, env=ENVIRONMENT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @property
    def environment(self) -> dict[str, str]:
        return {"RECONCILER_COMPOSE": str(self.host.compose)}
