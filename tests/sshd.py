"""An ssh server of a test's own on loopback, and a laptop that reaches it by the user's own ssh."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.hooks.tool import ROOT, Ran
from tests.repository import ENVIRONMENT

SSHD = "/usr/sbin/sshd"


class Laptop:
    """`folder`: its home, with hosts.yaml; `config`: the agent config of the machine that `mini` is there."""

    def __init__(self, folder: Path, port: int, config: Path) -> None:
        self.folder, self.port = folder, port
        program = folder / "remote-reconciler"
        command = f"PYTHONPATH={ROOT} RECONCILER_CONFIG={shlex.quote(str(config))} exec {sys.executable} -m reconciler"
        _script(program, f'cd /\n{command} "$@"')
        # ssh itself looks for its config in the account's home, which is not the test's to change.
        _script(folder / "bin/ssh", f'exec /usr/bin/ssh -F {folder}/ssh_config "$@"')
        (folder / "ssh_config").write_text(
            f"Host *\nIdentityFile {folder}/own\nIdentitiesOnly yes\nStrictHostKeyChecking accept-new\n"
            f"UserKnownHostsFile {folder}/known\nLogLevel ERROR\n"
        )
        self.hosts([{"name": "mini", "ssh": f"ssh://root@127.0.0.1:{port}", "program": str(program)}])

    def hosts(self, hosts: object) -> Path:
        """Write hosts.yaml."""
        path = self.folder / ".config/reconciler/hosts.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"hosts": hosts}, indent=1))
        return path

    @property
    def environment(self) -> dict[str, str]:
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        kept = {"PYTHONPATH": str(ROOT), "HOME": str(self.folder), "PATH": path, "TERM": "xterm"}
        return {**ENVIRONMENT, **kept, "GIT_SSH_COMMAND": "ssh"}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "reconciler", *arguments]

    def run(self, *arguments: str, cwd: Path | None = None, **more: str) -> Ran:
        done = subprocess.run(
            self.command(*arguments), env={**self.environment, **more}, cwd=cwd or self.folder, capture_output=True,
            text=True, timeout=120, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    def logins(self) -> int:
        """How often somebody has logged in."""
        return (self.folder / "log").read_text().count("Accepted publickey")

    def close(self) -> None:
        """End the connections that stay open."""
        for item in (self.folder / ".cache/reconciler/ssh").glob("*"):
            subprocess.run(
                ["/usr/bin/ssh", "-o", f"ControlPath={item}", "-O", "exit", "mini"], capture_output=True, check=False
            )


def _script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@contextmanager
def laptop(config: Path, **options: str) -> Iterator[Laptop]:
    """`options`: further ones of the server."""
    if os.geteuid() != 0 or not Path(SSHD).exists():
        pytest.skip("an ssh server of one's own needs root and openssh-server")
    folder = Path(tempfile.mkdtemp(prefix="ssh-", dir="/var/tmp"))  # short: a control socket's path is bounded
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    for key in ("host", "own"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)], check=True)
    shutil.copy(folder / "own.pub", folder / "keys")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "Port": str(port), "ListenAddress": "127.0.0.1", "HostKey": f"{folder}/host", "UsePAM": "no",
        "AuthorizedKeysFile": f"{folder}/keys", "StrictModes": "no", "PidFile": "none", "PermitRootLogin": "yes",
        "PasswordAuthentication": "no", **options,
    }  # fmt: skip
    argv = [SSHD, "-D", "-e", "-f", "/dev/null", *(part for name in settings for part in _option(settings, name))]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(argv, stderr=log, stdin=subprocess.DEVNULL)
    made = Laptop(folder, port, config)
    try:
        _wait(port)
        yield made
    finally:
        made.close()
        server.terminate()
        server.wait()
        shutil.rmtree(folder)


def _option(settings: Mapping[str, str], name: str) -> tuple[str, str]:
    return "-o", f"{name}={settings[name]}"


def _wait(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return
