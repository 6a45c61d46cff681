"""An engine of its own for tests that end it: beside the real one, sharing only the kernel."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from functools import cached_property
from pathlib import Path

import docker

from reconciler.engine import connect
from reconciler.errors import Away
from tests.e2e.services import IMAGE


class PrivateEngine:
    """`dockerd` in network and mount namespaces of its own, so that it cannot touch the other one's.

    It has no bridge: services need `network_mode: none`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"unix://{folder}/docker.sock"
        self._process: subprocess.Popen[bytes] | None = None

    @cached_property
    def client(self) -> docker.APIClient:
        """Away until the engine has answered once."""
        return connect(self.address)

    def start(self) -> None:
        """Returns when it answers."""
        folder = self.folder
        for name in ("docker.pid", "docker.sock"):
            (folder / name).unlink(missing_ok=True)
        with (folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["unshare", "--net", "--mount", "dockerd", "--data-root", f"{folder}/data", "--exec-root",
                 f"{folder}/exec", "--pidfile", f"{folder}/docker.pid", "--host", self.address, "--bridge=none",
                 "--iptables=false", "--ip6tables=false"],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while not self._answers():
            alive = time.monotonic() < deadline and self._process.poll() is None
            assert alive, (folder / "log").read_text()[-2000:]
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except (docker.errors.DockerException, Away, OSError):
            return False

    def load(self, engine: docker.APIClient) -> None:
        """The image of the tests, from the real engine."""
        made = engine.create_container(IMAGE, ["true"])
        try:
            self.client.import_image_from_data(b"".join(engine.export(made["Id"])), IMAGE)
        finally:
            engine.remove_container(made["Id"])

    def _pid(self) -> int:
        return int((self.folder / "docker.pid").read_text())

    def kill(self) -> None:
        """End it as a power cut would; its containers run on until it is back."""
        os.kill(self._pid(), signal.SIGKILL)
        self._gone()

    def stop(self) -> None:
        """End it as a service manager does: its containers end, too."""
        os.kill(self._pid(), signal.SIGTERM)
        self._gone()

    def hang(self) -> None:
        os.kill(self._pid(), signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self._pid(), signal.SIGCONT)

    def close(self) -> None:
        """End it and everything that it has started."""
        if self._process is not None and self._process.poll() is None:
            for container in self.client.containers():
                self.client.kill(container["Id"])
            self.stop()
            self.client.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _gone(self) -> None:
        assert self._process is not None
        self._process.wait(60)
