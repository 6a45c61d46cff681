"""Credentials and previews with a real Gitea: `GITEA=PROGRAM pytest -m soak tests/soak/test_gitea_access.py`."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import find_compose
from tests.e2e.host import Host, eventually, new_host
from tests.e2e.services import stated
from tests.hooks.tool import git, write
from tests.soak.gitea_server import PERSON, Gitea, gitea, push

pytestmark = [
    pytest.mark.engine,
    pytest.mark.soak,
    pytest.mark.timeout(1200),
    pytest.mark.skipif("GITEA" not in os.environ, reason="GITEA names no program of Gitea or Forgejo"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[Gitea]:
    with gitea() as made:
        yield made


def token(server: Gitea, path: Path, *scopes: str) -> str:
    path.touch(mode=0o600)
    path.write_text(server.token(f"{path.name}-{len(scopes)}", *scopes) + "\n")
    return str(path)


def commit(clone: Path, host: Host, **services: object) -> str:
    write(clone, {path: str(text) for path, text in host.files(services).items()})
    git(clone, "add", "-A")
    git(clone, "commit", "-q", "-m", "change")
    return git(clone, "rev-parse", "HEAD")


def check(host: Host, name: str) -> dict[str, object]:
    found: dict[str, object] = next(item for item in host.run("doctor")["checks"] if item["name"] == name)
    return found


def test_deploy_keys_previews_and_tokens_work_with_gitea(server: Gitea, tmp_path: Path) -> None:
    server.repository("home")
    known, key = tmp_path / "known", tmp_path / "deploy_key"
    scan = ["ssh-keyscan", "-p", str(server.ssh_port), "127.0.0.1"]
    known.write_text(subprocess.run(scan, capture_output=True, text=True, check=True).stdout)
    able = token(server, tmp_path / "able", "write:repository", "write:issue")
    forge = {"kind": "gitea", "api": server.api, "repository": f"{PERSON}/home", "token_file": able}
    ssh = {"url": server.ssh("home"), "key_file": str(key), "known_hosts_file": str(known)}
    report = {"forge": forge, "preview": {"pull_requests": "same-repository"}}
    with new_host(tmp_path / "host", find_compose()[-1], source=ssh, report=report) as host:
        assert host.run("key")["registered"] is None
        clone = tmp_path / "clone"
        git(tmp_path, "init", "-q", "-b", "main", str(clone))
        commit(clone, host, web=stated("1"))
        push(clone, server.ssh("home"), server.git)
        refused = host.once()
        assert (refused.code, "reconciler key --register" in refused["hint"]) == (3, True)
        for _ in range(2):
            assert host.run("key", "--register")["registered"] is True
        (listed,) = server.ask("GET", f"/repos/{PERSON}/home/keys")
        assert listed["read_only"] is True
        assert host.once()["outcome"] == "Succeeded"

        # a pull request, its comment and its status
        git(clone, "checkout", "-q", "-b", "new")
        first = commit(clone, host, web=stated("2"))
        push(clone, server.ssh("home"), server.git, "HEAD:refs/heads/new")
        number = server.ask("POST", f"/repos/{PERSON}/home/pulls", head="new", base="main", title="new")["number"]
        context = f"reconciler/{host.name}/preview"
        assert host.run("preview").code == 0
        assert server.states("home", first, context) == ["success"]
        (comment,) = server.comments("home", number)
        assert f"restarts `{host.stack}/web`" in comment
        second = commit(clone, host, web=stated("2") | {"privileged": True})
        push(clone, server.ssh("home"), server.git, "HEAD:refs/heads/new")
        eventually(lambda: host.run("preview")["pullRequests"][0]["outcome"] == "Failure", 30, every=1.0)
        assert server.states("home", second, context) == ["failure"]
        (comment,) = server.comments("home", number)
        assert "compose/stack/compose.yaml:" in comment
        server.ask("PATCH", f"/repos/{PERSON}/home/pulls/{number}", state="closed")
        assert host.run("preview")["pullRequests"] == []
        assert json.loads((host.state / "preview.json").read_text())["pulls"] == {}
        assert check(host, "forge")["ok"] is True

        # tokens for git, and the scopes that they lack
        poor = token(server, tmp_path / "poor", "read:user")
        reads = token(server, tmp_path / "reads", "read:repository")
        (tmp_path / "signers").write_text("")
        http = {"url": f"{server.root}/{PERSON}/home.git", "allowed_signers": str(tmp_path / "signers")}
        host.configure(source={**http, "token_file": poor}, report={"forge": {**forge, "token_file": reads}})
        remote = check(host, "remote")
        assert remote["ok"] is False
        assert "`read:repository`" in str(remote["hint"]), remote
        lacks = check(host, "forge")
        assert lacks["ok"] is False
        assert "`write:repository`" in str(lacks["message"])
        assert "`write:issue`" in str(lacks["message"])
        host.configure(source={**http, "token_file": reads}, report={"forge": forge})
        assert check(host, "remote")["ok"] is True
        assert server.ask("GET", f"/repos/{PERSON}/home/commits/{second}/statuses")[0]["context"] != "reconciler/doctor"
