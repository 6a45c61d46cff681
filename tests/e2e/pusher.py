"""A person who pushes from a clone and reads the output of the push."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.e2e.host import COMPOSE_FILE, Host, eventually
from tests.hooks.tool import git, reconciler, write
from tests.repository import ENVIRONMENT

REMOTE = "remote: "


class Push:
    """A running `git push`. `lines`: the output of the hooks so far, without the prefix `remote: `."""

    def __init__(self, clone: Path, arguments: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self.began = time.monotonic()
        self._process = subprocess.Popen(
            ["git", "push", *arguments], cwd=clone, env={**ENVIRONMENT, **environment}, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def lines(self) -> list[str]:
        return [line.removeprefix(REMOTE).rstrip() for line in self.said if line.startswith(REMOTE)]

    @property
    def rollout(self) -> list[str]:
        """The lines without those of pre-receive."""
        first = next((n for n, line in enumerate(self.lines) if "looks at it" in line), len(self.lines))
        return self.lines[first:]

    def says(self, text: str) -> None:
        """Wait until the output contains this text."""
        eventually(lambda: any(text in line for line in self.said), seconds=30)

    def end(self, timeout: float = 120) -> int:
        code = self._process.wait(timeout)
        self._reader.join(10)
        if self._process.stderr is not None:
            self._process.stderr.close()
        return code

    def interrupt(self) -> None:
        """Ctrl-C: every process of the terminal gets it."""
        os.killpg(self._process.pid, signal.SIGINT)

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            # git ends lines of progress with a carriage return, and others with a code that clears the line.
            self.said.append(line.decode(errors="replace").rstrip("\n"))


class Pusher:
    """A clone of the host's repository, in which our hooks are installed. `url`: the address to push to."""

    def __init__(self, host: Host, url: str = "", **environment: str) -> None:
        self.host, self.clone, self._environment = host, host.folder / "clone", environment
        git(host.folder, "init", "-q", "-b", "main", "clone")
        git(self.clone, "remote", "add", "origin", url or str(host.repository.folder))

    @staticmethod
    def of(host: Host) -> Pusher:
        """Install the hooks in the repository that the host watches, and clone it."""
        bare = str(host.repository.folder)
        done = reconciler(host.folder, "--config", str(host.config), "hooks", "install", "--repo", bare)
        assert done.code == 0, done.stderr
        return Pusher(host)

    def commit(self, services: Mapping[str, Any], **document: Any) -> str:
        write(self.clone, {path: str(text) for path, text in self.host.files(services, **document).items()})
        git(self.clone, "add", "-A")
        git(self.clone, "commit", "-q", "--allow-empty", "-m", "change")
        return git(self.clone, "rev-parse", "HEAD")

    def push(self, *arguments: str) -> Push:
        return Push(self.clone, (*arguments, "origin", "main"), self._environment)

    def services(self) -> Any:
        return json.loads((self.clone / COMPOSE_FILE).read_text())["services"]
