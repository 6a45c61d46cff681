"""The owner of a machine, at a laptop: with a home folder of their own, a key, and the real ssh."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.hooks.tool import ROOT
from tests.repository import ENVIRONMENT
from tests.target.target import Target


class Owner:
    """`folder`: the home folder. With its ssh config, `me@target` and `root@target` reach the machine."""

    def __init__(self, folder: Path, machine: Target) -> None:
        self.folder, self.machine = folder, machine
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True)
        (folder / "bin").mkdir()
        program = folder / "bin/ssh"
        program.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {folder}/ssh_config "$@"\n')
        program.chmod(0o755)
        self.trust("accept-new")
        self.account("root")

    def trust(self, how: str) -> None:
        """Write the ssh config. `how`: the value of StrictHostKeyChecking."""
        (self.folder / "ssh_config").write_text(
            f"Host target\nHostName {self.machine.address}\nHost *\nIdentityFile {self.folder}/key\n"
            f"IdentitiesOnly yes\nStrictHostKeyChecking {how}\nUserKnownHostsFile {self.folder}/known\nLogLevel ERROR\n"
        )

    def account(self, name: str, *, sudo: str = "") -> None:
        """Create an account on the machine that accepts the key. `sudo`: its sudo rule, or ''."""
        home = "/root" if name == "root" else f"/home/{name}"
        if name != "root":
            self.machine.run(f"id {name} >/dev/null 2>&1 || useradd -m -s /bin/bash {name}")
        self.machine.put(f"{home}/.ssh/authorized_keys", (self.folder / "key.pub").read_bytes())
        self.machine.run(f"chown -R {name}: {home}/.ssh; chmod 700 {home}/.ssh")
        if sudo:
            self.machine.put(f"/etc/sudoers.d/{name}", f"{name} {sudo}\n".encode(), 0o440)

    @property
    def environment(self) -> dict[str, str]:
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        kept = {"PYTHONPATH": str(ROOT), "HOME": str(self.folder), "PATH": path, "TERM": "xterm"}
        return {**ENVIRONMENT, **kept, "GIT_SSH_COMMAND": "ssh"}

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "reconciler", *words]

    def run(self, *words: str, code: int = 0, cwd: Path | None = None) -> str:
        done = subprocess.run(
            self.command(*words), env=self.environment, cwd=cwd or self.folder, capture_output=True, text=True,
            timeout=1800, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == code, f"exit {done.returncode}, not {code}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout

    def document(self, *words: str, code: int = 0) -> Any:
        return json.loads(self.run(*words, "--output", "json", code=code))

    def git(self, *words: str, cwd: Path | None = None) -> str:
        """Run git; returns stdout and stderr together. A push reports on stderr."""
        own = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        done = subprocess.run(
            ["git", *own, *words], env=self.environment, cwd=cwd or self.folder, capture_output=True, text=True,
            timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def close(self) -> None:
        for item in (self.folder / ".cache/reconciler/ssh").glob("*"):
            argv = ["/usr/bin/ssh", "-o", f"ControlPath={item}", "-O", "exit", "x"]
            subprocess.run(argv, capture_output=True, check=False)


@contextmanager
def owner(machine: Target) -> Iterator[Owner]:
    folder = Path(tempfile.mkdtemp(prefix="own-", dir="/var/tmp"))  # a control socket needs a short path
    made = Owner(folder, machine)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder)
