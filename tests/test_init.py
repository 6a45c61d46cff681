"""`init` from outside, without an engine: what it writes, and what it does not change."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.errors import Usage
from reconciler.wiring.init import chosen_trust, gather_running, initialise

COMPOSE = """
services:
  web:
    image: web:1
    volumes: ["./data:/data", "./conf:/etc/web:ro", "./src:/src"]
    mem_limit: 100m
  db: {image: "db:1"}
"""
HOST = "desired-state/mini.yaml"


class Folder:
    """A Compose project in a folder, and the command run in it."""

    def __init__(self, root: Path, compose: Path) -> None:
        self.root, self.compose = root, compose
        self.config = root.parent / "agent" / "reconciler.yaml"

    def write(self, **files: str) -> None:
        for name, text in files.items():
            path = self.root / name.replace("__", "/").replace("_yaml", ".yaml")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def git(self, *arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *identity, *arguments], cwd=self.root, check=True, capture_output=True)

    def run(self, *arguments: str, verb: str = "init") -> tuple[int, dict[str, Any]]:
        done = self._run("json", verb, *arguments)
        return done.returncode, json.loads(done.stdout)

    def told(self, *arguments: str) -> str:
        """What `init` prints for people."""
        return self._run("text", "init", *arguments).stdout

    def _run(self, output: str, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RECONCILER_")}
        named = {"RECONCILER_CONFIG": str(self.config)} if verb == "init" else {}
        done = subprocess.run(
            [sys.executable, "-m", "reconciler", "--output", output, verb, *arguments], cwd=self.root, text=True,
            env={
                **kept, "HOME": str(self.root.parent), "DOCKER_HOST": "unix:///nowhere/docker.sock",
                "RECONCILER_COMPOSE": str(self.compose), **named,
            },
            capture_output=True, timeout=60, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def everything(self) -> dict[str, str]:
        paths = (path for path in self.root.rglob("*") if path.is_file() and ".git" not in path.parts)
        return {path.relative_to(self.root).as_posix(): path.read_text() for path in paths}

    def yaml(self, path: str) -> Any:
        return yaml.safe_load((self.root / path).read_text())


@pytest.fixture
def folder(tmp_path: Path, compose_binary: Path) -> Folder:
    made = Folder(tmp_path / "Shop", compose_binary)
    made.write(compose_yaml=COMPOSE, conf__web="x", src__main="x", data__db="bytes")
    return made


def with_git(folder: Folder) -> Folder:
    folder.git("init", "-q", "-b", "trunk")
    folder.git("add", "compose.yaml", "conf", "src")
    folder.git("commit", "-qm", "first")
    return folder


def test_a_project_in_a_repository(folder: Folder) -> None:
    before = with_git(folder).everything()
    code, document = folder.run("--host", "mini")
    assert (code, document["files"]) == (0, [HOST, str(folder.config), ".gitignore"])
    assert {path: text for path, text in folder.everything().items() if path in before} == before
    assert folder.yaml(HOST)["spec"]["stacks"] == [{"name": "shop", "files": ["compose.yaml"]}]
    assert yaml.safe_load(folder.config.read_text())["source"] == {"url": str(folder.root), "branch": "trunk"}
    assert [path.stat().st_mode & 0o777 for path in (folder.config, folder.config.parent)] == [0o600, 0o700]
    assert (folder.root / ".gitignore").read_text().splitlines() == ["/data/"]
    services = {item["service"]: item for item in document["stacks"][0]["services"]}
    assert (services["web"]["limitBytes"], services["web"]["origin"]) == (100 << 20, "kept")
    assert (services["db"]["origin"], services["db"]["usedBytes"]) == ("default", None)
    assert any("the engine does not answer" in reason for reason in document["skipped"])


@pytest.mark.parametrize(("mode", "trust"), [(0o755, "owner"), (0o775, "strangers"), (0o757, "strangers")])
def test_a_bare_repository_that_nobody_else_writes_to_is_its_owners(folder: Folder, mode: int, trust: str) -> None:
    bare = folder.root.parent / "home.git"
    subprocess.run(["git", "init", "-q", "--bare", str(bare)], check=True, capture_output=True)
    for path in (bare, bare / "refs", bare / "objects"):
        path.chmod(mode)
    code, document = folder.run("--host", "mini", "--source", str(bare))
    assert (code, document["trust"]) == (0, trust)
    assert yaml.safe_load(folder.config.read_text())["trust"] == trust


def test_elsewhere_others_may_push(folder: Folder) -> None:
    _, document = with_git(folder).run("--host", "mini")
    assert document["trust"] == "strangers"


def test_a_person_is_asked_where_there_is_one(tmp_path: Path) -> None:
    asked: list[str] = []

    def answering(text: str) -> Callable[[str], str]:
        return lambda question: asked.append(question) or text

    found = [chosen_trust(str(tmp_path), answering(text)) for text in ("owner\n", "o", "strangers", "", "?")]
    assert found == ["owner", "owner", "strangers", "strangers", "strangers"]
    assert asked[0] == f"Who can push to {tmp_path}? owner (only you), strangers (others, too) [strangers]: "


def test_a_folder_that_cannot_be_looked_at_is_said(tmp_path: Path) -> None:
    """As one below a folder of another account."""
    folder = str(tmp_path / ("x" * 300))
    with pytest.raises(Usage, match="cannot be read: File name too long"):
        gather_running(folder, None, None, {})
    with pytest.raises(Usage, match="there is no folder"):
        initialise(folder, None, None, None, None, None, {}, lambda *given: pytest.fail("not made"))


def test_what_was_written_is_valid(folder: Folder) -> None:
    with_git(folder).run("--host", "mini")
    code, document = folder.run(".", verb="validate")
    assert (code, document["valid"]) == (0, True), document["violations"]


def test_nothing_is_ever_overwritten(folder: Folder) -> None:
    folder.run("--host", "mini")
    folder.config.unlink()
    written = folder.everything()
    code, document = folder.run("--host", "mini")
    assert (code, document["kind"]) == (1, "Error")
    assert document["message"] == f"refused to overwrite {HOST}"
    assert not folder.config.exists()
    assert folder.everything() == written


def test_one_file_that_is_there_keeps_all_of_them_from_being_written(folder: Folder) -> None:
    folder.write(**{"desired-state__mini_yaml": "mine"})
    before = folder.everything()
    code, document = folder.run("--host", "mini")
    assert (code, document["details"]) == (1, [HOST])
    assert folder.everything() == before


def test_an_agent_config_that_is_in_force_stays_and_names_the_host(folder: Folder) -> None:
    folder.config.parent.mkdir()
    folder.config.write_text("host: mini\nsource: {url: /srv/home.git}\nstate: /nowhere/state\n")
    code, document = folder.run()
    assert (code, document["host"], document["files"]) == (0, "mini", [HOST])


def test_several_projects_below_a_folder_and_a_name_of_its_own(folder: Folder) -> None:
    (folder.root / "compose.yaml").rename(folder.root / "x.yaml")
    folder.write(
        apps__Blog__compose_yaml=COMPOSE,
        apps__wiki__compose_yaml="name: pages\n" + COMPOSE,
        **{"apps__wiki__compose.override_yaml": "services: {db: {mem_limit: 80m}}"},
    )
    code, document = folder.run("--host", "mini")
    assert code == 0
    assert folder.yaml(HOST)["spec"]["stacks"] == [
        {"name": "blog", "files": ["apps/Blog/compose.yaml"]},
        {"name": "pages", "files": ["apps/wiki/compose.yaml", "apps/wiki/compose.override.yaml"]},
    ]
    limits = {
        (item["stack"], item["service"]): item["limitBytes"] for s in document["stacks"] for item in s["services"]
    }
    assert limits["pages", "db"] == 80 << 20


def test_a_folder_of_a_larger_repository(folder: Folder) -> None:
    with_git(folder)
    folder.write(apps__blog__compose_yaml=COMPOSE.replace("volumes", "x-volumes"))
    folder.git("add", "apps")
    code, document = folder.run("apps/blog", "--host", "mini")
    assert (code, document["files"]) == (0, [HOST, str(folder.config)])
    assert yaml.safe_load(folder.config.read_text())["source"]["path"] == "apps/blog"
    assert not [item for item in document["violations"] if item["level"] == "deny"]


def test_what_a_turn_would_refuse_is_told(folder: Folder) -> None:
    folder.write(compose_yaml=COMPOSE.replace("mem_limit", "privileged: true\n    mem_limit"))
    code, document = folder.run("--host", "mini")
    assert code == 0
    assert "privileged" in [item["rule"] for item in document["violations"] if item["level"] == "deny"]


def test_what_a_turn_needs_is_printed_to_be_pasted(folder: Folder) -> None:
    paths = [Path(tempfile.gettempdir(), name) for name in ("films", "music")]
    folder.write(compose_yaml=COMPOSE.replace('/src"]', f'/src", {paths[0]}:/f, {paths[1]}:/m]'))
    shown = with_git(folder).told("--host", "mini")
    block = shown[shown.index("# In the agent's config") :].split("\n\n")[0]
    folder.config.write_text(folder.config.read_text() + block.replace('reason: ""', "reason: tested"))
    code, document = folder.run(str(folder.root), "--config", str(folder.config), verb="validate")
    assert (code, document["valid"]) == (0, True), document["violations"]


def test_the_owner_needs_no_grant_and_what_is_not_written_none_either(folder: Folder) -> None:
    folder.write(compose_yaml=COMPOSE.replace("./src:", "/srv/films:"))
    bare = folder.root.parent / "home.git"
    subprocess.run(["git", "init", "-q", "--bare", str(bare)], check=True, capture_output=True)
    needs = folder.run("--host", "mini", "--source", str(bare))[1]["needs"]
    assert needs == {"grants": [], "binds": [], "exports": [], "variables": [], "others": []}
    folder.write(compose_yaml="services: {web: {image: [}}")
    assert folder.run("--host", "other")[1]["needs"] is None


def test_a_compose_file_that_cannot_be_read_writes_nothing(folder: Folder) -> None:
    folder.write(compose_yaml="services: {web: {image: [}}")
    before = folder.everything()
    code, document = folder.run("--host", "mini")
    assert (code, document["files"]) == (1, [])
    assert document["violations"][0]["path"] == "compose.yaml"
    assert folder.everything() == before


def test_a_folder_without_a_compose_file(folder: Folder) -> None:
    code, document = folder.run("conf")
    assert (code, document["reason"]) == (2, "FileMissing")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run as another user")
def test_the_agent_config_goes_to_its_users_own_folder_and_never_into_the_repository(compose_binary: Path) -> None:
    user = 12345
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        folder = Folder(home / "shop", compose_binary)
        folder.write(compose_yaml=COMPOSE)
        for path in (home, *home.rglob("*")):
            os.chown(path, user, user)
        environment = {"HOME": name, "PATH": os.environ["PATH"], "DOCKER_HOST": "unix:///nowhere/docker.sock"}
        command = [sys.executable, "-m", "reconciler", "--output", "json", "init", "--host", "mini"]
        if subprocess.run(["test", "-x", sys.executable], user=user, check=False).returncode:
            pytest.skip("this Python is root's alone")
        done = subprocess.run(
            command, cwd=folder.root, env=environment, user=user, group=user, umask=0, capture_output=True, timeout=60
        )
        written = home / ".config/reconciler/reconciler.yaml"
        assert (done.returncode, json.loads(done.stdout)["files"][1]) == (0, str(written)), done.stderr
        assert [path.stat().st_mode & 0o777 for path in (written, *list(written.parents)[:2])] == [0o600, 0o700, 0o700]
        assert not list(folder.root.rglob("reconciler.yaml"))
