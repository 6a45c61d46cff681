"""A real Gitea or Forgejo on loopback, with one user. $GITEA names its program."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.e2e.host import eventually

PERSON, PASSWORD = "me", "a-long-password-4711"
ACCOUNT = "nobody"
"""The account that runs the server, which refuses to run as root."""

SETTINGS = """
APP_NAME = test
RUN_USER = {account}
RUN_MODE = prod
WORK_PATH = {folder}
[server]
PROTOCOL = http
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
DOMAIN = 127.0.0.1
ROOT_URL = http://127.0.0.1:{port}/
START_SSH_SERVER = true
SSH_LISTEN_HOST = 127.0.0.1
SSH_LISTEN_PORT = {ssh}
SSH_PORT = {ssh}
BUILTIN_SSH_SERVER_USER = git
SSH_USER = git
OFFLINE_MODE = true
LFS_START_SERVER = false
[database]
DB_TYPE = sqlite3
PATH = {folder}/gitea.db
[repository]
ROOT = {folder}/repositories
DEFAULT_BRANCH = main
[security]
INSTALL_LOCK = true
SECRET_KEY = a-secret-of-this-test-alone
INTERNAL_TOKEN = a-token-of-this-test-alone
[oauth2]
ENABLED = false
JWT_SECRET = q7Zk3sEgN1sNH5Zt2YBhYeXHk3Y7QmVq6u8f4rXn0cM
[service]
DISABLE_REGISTRATION = true
[mailer]
ENABLED = false
[indexer]
ISSUE_INDEXER_TYPE = db
[actions]
ENABLED = false
[picture]
DISABLE_GRAVATAR = true
[cron.update_checker]
ENABLED = false
[log]
LEVEL = Error
ROOT_PATH = {folder}/log
"""


class Gitea:
    """`key`: file with the user's private ssh key. `git`: environment variables with which git can push."""

    def __init__(self, program: str, folder: Path) -> None:
        self.program, self.folder = program, folder
        self.port, self.ssh_port = _free(), _free()
        self._as = ["setpriv", f"--reuid={ACCOUNT}", f"--regid={_group()}", "--clear-groups", "--"]
        if os.geteuid() != 0:
            self._as = []
        account = ACCOUNT if self._as else os.environ.get("USER", "")
        self.config, self.key = folder / "app.ini", folder.parent / f"{folder.name}.key"
        text = SETTINGS.format(folder=folder, port=self.port, ssh=self.ssh_port, account=account)
        self.config.write_text(text)
        if self._as:
            shutil.chown(folder, ACCOUNT)
            shutil.chown(self.config, ACCOUNT)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)], check=True)
        self.git = {
            "GIT_SSH_COMMAND": f"ssh -i {self.key} -oStrictHostKeyChecking=no -oUserKnownHostsFile=/dev/null "
            "-oBatchMode=yes -oLogLevel=ERROR"
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def api(self) -> str:
        return f"{self.root}/api/v1"

    def http(self, name: str) -> str:
        return f"http://{PERSON}:{PASSWORD}@127.0.0.1:{self.port}/{PERSON}/{name}.git"

    def ssh(self, name: str) -> str:
        return f"ssh://git@127.0.0.1:{self.ssh_port}/{PERSON}/{name}.git"

    def start(self) -> None:
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._as, self.program, "--config", str(self.config), "web"], stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, env=self._environment(), cwd=self.folder,
            )  # fmt: skip
        eventually(self._answers, 60)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def set_up(self) -> None:
        """Create the user, and register the ssh key."""
        self._admin("create", "--username", PERSON, "--password", PASSWORD, "--email", "me@example.org",
                    "--admin", "--must-change-password=false")  # fmt: skip
        public = self.key.with_suffix(".key.pub").read_text()
        self.ask("POST", "/user/keys", title="key", key=public)

    def token(self, name: str, *scopes: str) -> str:
        """A new access token with these scopes."""
        made = self.ask("POST", f"/users/{PERSON}/tokens", name=name, scopes=list(scopes))
        return str(made["sha1"])

    def repository(self, name: str, private: bool = True) -> None:
        self.ask("POST", "/user/repos", name=name, private=private, default_branch="main")

    def merge(self, name: str, branch: str, how: str = "merge") -> tuple[int, str]:
        """Open a pull request for `branch` and merge it. Returns its number and the sha of the merged commit."""
        number = self.ask("POST", f"/repos/{PERSON}/{name}/pulls", head=branch, base="main", title=branch)["number"]
        pull = f"/repos/{PERSON}/{name}/pulls/{number}"
        eventually(lambda: self._merged(pull, how), 30, every=0.5)
        return number, str(self.ask("GET", pull)["merge_commit_sha"])

    def _merged(self, pull: str, how: str) -> bool:
        """Try to merge. While Gitea checks for conflicts, it answers 405: then the caller tries again."""
        self.raw("POST", f"{pull}/merge", {"Do": how})
        return bool(self.ask("GET", pull)["merged"])

    def statuses(self, name: str, sha: str) -> list[Mapping[str, Any]]:
        """All statuses of the commit, oldest first."""
        found: list[Mapping[str, Any]] = []
        for page in range(1, 100):
            rows = self.ask("GET", f"/repos/{PERSON}/{name}/commits/{sha}/statuses?limit=50&page={page}")
            found += rows
            if not rows:
                break
        return sorted(found, key=lambda item: int(item["id"]))

    def states(self, name: str, sha: str, context: str) -> list[str]:
        return [item["status"] for item in self.statuses(name, sha) if item["context"] == context]

    def comments(self, name: str, number: int) -> list[str]:
        return [item["body"] for item in self.ask("GET", f"/repos/{PERSON}/{name}/issues/{number}/comments")]

    def ask(self, method: str, path: str, **body: Any) -> Any:
        answer = self.raw(method, path, body or None)
        assert answer.status_code < 300, f"{method} {path}: {answer.status_code} {answer.text[:300]}"
        return answer.json() if answer.content else None

    def raw(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> requests.Response:
        return requests.request(method, self.api + path, json=body, auth=(PERSON, PASSWORD), timeout=60)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder.parent / f"{self.folder.name}.log").read_text()[-3000:]
        try:
            return requests.get(f"{self.api}/version", timeout=5).ok
        except requests.RequestException:
            return False

    def _admin(self, *arguments: str) -> None:
        command = [*self._as, self.program, "--config", str(self.config), "admin", "user", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=self._environment(), cwd=self.folder)
        assert done.returncode == 0, done.stdout + done.stderr

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), "GITEA_WORK_DIR": str(self.folder)}


@contextmanager
def gitea() -> Iterator[Gitea]:
    """A server that runs during the block."""
    folder = Path(tempfile.mkdtemp(prefix="gitea-", dir="/var/tmp"))
    folder.chmod(0o755)
    inner = folder / "work"
    inner.mkdir()
    made = Gitea(os.environ["GITEA"], inner)
    made.start()
    try:
        made.set_up()
        yield made
    finally:
        made.kill()
        shutil.rmtree(folder, ignore_errors=True)


def push(clone: Path, where: str, environment: Mapping[str, str], *what: str) -> None:
    """A push with git that must succeed. `what`: refspecs; HEAD to main by default."""
    command: Sequence[str] = ["git", "push", "-q", where, *(what or ("HEAD:refs/heads/main",))]
    done = subprocess.run(command, cwd=clone, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _free() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _group() -> str:
    import grp
    import pwd

    return grp.getgrgid(pwd.getpwnam(ACCOUNT).pw_gid).gr_name
