"""A push over ssh by an account that is not the agent's, to a repository that belongs to this account."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.host import Host, eventually
from tests.e2e.pusher import Pusher
from tests.e2e.services import healthy
from tests.git_servers import can_serve_ssh, new_key, ssh_server
from tests.hooks.tool import ROOT, git

pytestmark = pytest.mark.engine


@dataclass(frozen=True)
class Account:
    """An account on this machine that ssh can reach. `home`: its home folder."""

    name: str
    home: Path
    ssh: str
    port: int
    program: str

    def run(self, *argv: str) -> str:
        """Run a command as this account. Returns its output."""
        setpriv = ["setpriv", f"--reuid={self.name}", f"--regid={self.name}", "--init-groups", "--"]
        environment = {"PATH": f"{self.home.parent}:{os.environ['PATH']}", "HOME": str(self.home)}
        done = subprocess.run([*setpriv, *argv], capture_output=True, text=True, cwd=self.home, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout


def _program(folder: Path) -> Path:
    """A copy of the program that another account can run: perhaps only root can read the Python of the tests."""
    packages = [str(ROOT), *(item for item in sys.path if item.endswith("site-packages"))]
    made = folder / "reconciler"
    python = f"/usr/bin/python3.{sys.version_info.minor}"
    if not Path(python).exists():
        pytest.skip(f"there is no {python} that other accounts can run")
    made.write_text(f'#!/bin/sh\nPYTHONPATH={":".join(packages)} exec {python} -m reconciler "$@"\n')
    made.chmod(0o755)
    return made


@pytest.fixture
def account() -> Iterator[Account]:
    """An account for one test, with an ssh server on loopback."""
    if not can_serve_ssh() or not shutil.which("useradd"):
        pytest.skip("another account and an ssh server need root and openssh-server")
    name, folder = f"push{uuid.uuid4().hex[:6]}", Path(tempfile.mkdtemp(prefix="push-", dir="/var/tmp"))
    folder.chmod(0o755)
    subprocess.run(["useradd", "-m", "-d", str(folder / "home"), "-s", "/bin/sh", "-p", "*", name], check=True)
    own = new_key(folder / "own")
    try:
        with ssh_server(folder) as server:
            server.keys.write_text(own)
            options = "-oStrictHostKeyChecking=no -oUserKnownHostsFile=/dev/null -oBatchMode=yes"
            ssh = f"ssh -i {folder}/own -p {server.port} {options}"
            yield Account(name, folder / "home", ssh, server.port, str(_program(folder)))
    finally:
        subprocess.run(["userdel", "-f", name], check=False, capture_output=True)
        shutil.rmtree(folder)


def _content(bare: Path) -> dict[str, bytes]:
    """All files of a repository except those that the agent writes for pushers: path → content."""
    paths = (path for path in bare.rglob("*") if path.is_file() and path.parent.name != "reconciler")
    return {str(path.relative_to(bare)): path.read_bytes() for path in paths}


def test_another_account_must_see_its_rollout_and_its_mistakes(host: Host, account: Account) -> None:
    bare = account.home / "my home.git"
    account.run(account.program, "init", "--bare", str(bare))
    host.configure(source={"url": str(bare), "interval": "1s"})
    pusher = Pusher(host, f"ssh://{account.name}@127.0.0.1:{account.port}{bare}", GIT_SSH_COMMAND=account.ssh)
    with host.started("run"):
        before = _content(bare)
        bad = pusher.commit({"app": healthy(privileged=True)})
        push = pusher.push()
        assert push.end() != 0
        assert "compose/stack/compose.yaml:" in "\n".join(push.lines)
        assert _content(bare) == before
        sha = pusher.commit({"app": healthy()})
        push = pusher.push()
        assert push.end() == 0, push.said
        assert push.rollout[-1].startswith(f"{host.name}: {sha[:7]} Succeeded"), push.said
        assert bad != sha
        told = bare / f"reconciler/{host.name}.json"
        assert (told.owner(), told.stat().st_mode & 0o077) == (account.name, 0)
        assert host.state.stat().st_mode & 0o077 == 0
        # The same in a repository with commits, and with a rewritten branch: no refs and no objects are left.
        eventually(lambda: host.history(sha)[0]["final"] and host.status()["report"][0]["pending"] == 0, seconds=30)
        before = _content(bare)
        pusher.commit({"app": healthy(privileged=True)})
        assert pusher.push().end() != 0
        git(pusher.clone, "commit", "-q", "--amend", "-m", "rewritten")
        assert pusher.push("--force").end() != 0
        git(pusher.clone, "reset", "-q", "--hard", sha)
        assert _content(bare) == before
        # The connection breaks: sshd ends the processes that it has started for it.
        sha = pusher.commit({"app": healthy("sleep 4; touch /tmp/healthy")})
        push = pusher.push()
        push.says("steps, memory")
        push.interrupt()
        push.end()
        eventually(lambda: host.history(sha)[0]["outcome"] == "Succeeded", seconds=30)
