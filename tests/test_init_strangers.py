"""`init` on folders as people have them: bad files among good ones, passwords in `.env`, names that Compose takes from
elsewhere. Without an engine."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.test_init import COMPOSE, HOST, Folder

PLAIN = "services:\n  web: {image: 'web:1', mem_limit: 64m, healthcheck: {test: 'true'}}\n"
PAPERLESS = """services:
  broker: {image: 'docker.io/library/redis:8', restart: unless-stopped, volumes: ['redisdata:/data']}
  db:
    image: docker.io/library/postgres:18
    volumes: ['pgdata:/var/lib/postgresql']
    environment: {POSTGRES_DB: paperless, POSTGRES_USER: paperless, POSTGRES_PASSWORD: paperless}
  webserver:
    image: ghcr.io/paperless-ngx/paperless-ngx:2.20
    depends_on: [db, broker]
    ports: ['8000:8000']
    volumes: ['data:/usr/src/paperless/data', './export:/usr/src/paperless/export', './consume:/usr/src/paperless/consume']
    env_file: docker-compose.env
    environment: {PAPERLESS_REDIS: 'redis://broker:6379', PAPERLESS_DBHOST: db}
volumes: {data: , pgdata: , redisdata: }
"""  # noqa: E501 - as it is published
PAPERLESS_ENV = "# The UID\nUSERMAP_UID=1000\nPAPERLESS_URL=https://x.example\nPAPERLESS_SECRET_KEY=long-and-secret\n"


@pytest.fixture
def folder(tmp_path: Path, compose_binary: Path) -> Folder:
    made = Folder(tmp_path / "Shop", compose_binary)
    made.root.mkdir()
    return made


def put(folder: Folder, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def stacks(folder: Folder) -> dict[str, Any]:
    return {item["name"]: item for item in folder.yaml(HOST)["spec"]["stacks"]}


def denied(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(item["rule"], item["hint"]) for item in document["violations"] if item["level"] == "deny"]


def committed(folder: Folder) -> set[str]:
    """What the documented `git add -A` takes."""
    if not (folder.root / ".git").exists():
        folder.git("init", "-q", "-b", "main")
    folder.git("add", "-A")
    done = subprocess.run(["git", "ls-files"], cwd=folder.root, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines())


def test_bad_files_are_left_out_and_told_and_the_rest_is_written(folder: Folder) -> None:
    put(
        folder,
        {
            "apps/good/compose.yaml": PLAIN,
            "apps/Web.2/docker-compose.yaml": PLAIN,
            "y/web/docker-compose.yml": PLAIN,
            "My Blog/compose.yml": PLAIN,
            "bad/compose.yaml": "services: {web: {image: [}}",
            "worse/compose.yaml": "services: {web: {image: x, volumes: 7}}",
            "empty/compose.yaml": "",
            "two/docker-compose.a.yml": PLAIN,
            "two/docker-compose.b.yml": PLAIN,
        },
    )
    code, document = folder.run("--host", "mini")
    assert code == 0
    assert {name: item["files"] for name, item in stacks(folder).items()} == {
        "myblog": ["My Blog/compose.yml"],
        "good": ["apps/good/compose.yaml"],
        "web2": ["apps/Web.2/docker-compose.yaml"],
        "web": ["y/web/docker-compose.yml"],
    }
    left = {item["files"][0]: item["reason"] for item in document["left"]}
    assert {"bad/compose.yaml", "worse/compose.yaml", "empty/compose.yaml", "two"} <= set(left)
    assert all(left.values())
    assert "bad/compose.yaml:1: " in left["bad/compose.yaml"]
    assert folder.run(".", verb="validate")[1]["valid"]


def test_a_stack_in_two_folders_and_the_services_once_each(folder: Folder) -> None:
    put(folder, {"x/web/compose.yaml": PLAIN, "y/web/compose.yaml": PLAIN})
    code, document = folder.run("--host", "mini")
    assert (code, list(stacks(folder))) == (0, ["x-web", "y-web"])
    assert [len(item["services"]) for item in document["stacks"]] == [1, 1]
    assert len(document["notes"]) == 2
    assert folder.run(".", verb="validate")[1]["valid"]


def test_passwords_of_the_env_file_stay_out_of_git_and_the_stack_has_them(folder: Folder) -> None:
    text = "services: {web: {image: 'w:1', environment: {A: '${DB_PASSWORD:?}', B: '${TAG:?}'}, mem_limit: 64m}}\n"
    put(folder, {"compose.yaml": text, ".env": "DB_PASSWORD='s3cret $x'\nTAG=1.2\nCOMPOSE_PROFILES=a\n"})
    put(folder, {".gitignore": "*.log"})
    code, document = folder.run("--host", "mini")
    assert (code, denied(document)) == (0, [])
    secrets = folder.config.parent / "secrets/shop.env"
    assert {str(secrets), ".gitignore"} <= set(document["files"])
    assert [path.stat().st_mode & 0o777 for path in (secrets, secrets.parent)] == [0o600, 0o700]
    assert yaml.safe_load(folder.config.read_text())["secrets_dir"] == str(secrets.parent)
    assert stacks(folder)["shop"] == {
        "name": "shop", "files": ["compose.yaml"], "profiles": ["a"], "env": {"TAG": "1.2"}
    }  # fmt: skip
    assert (folder.root / ".gitignore").read_text().splitlines() == ["*.log", "/.env"]
    assert (folder.root / ".env").read_text().startswith("DB_PASSWORD='s3cret $x'\n")
    assert document["values"][0]["names"] == ["DB_PASSWORD"]
    assert "s3cret" not in str(document)
    assert ".env" not in committed(folder)


def test_an_env_file_without_secrets_is_an_ordinary_file(folder: Folder) -> None:
    put(folder, {"compose.yaml": PLAIN, ".env": "TAG=1.2\nSECRET_KEY=\nPASSWORD_FILE=/run/x\n"})
    code, document = folder.run("--host", "mini")
    assert (code, document["files"], document["values"]) == (0, [HOST, str(folder.config)], [])
    assert ".env" in committed(folder)


def test_passwords_that_git_has_already_are_told_and_left(folder: Folder) -> None:
    put(folder, {"compose.yaml": PLAIN, ".env": "DATABASE_URL=postgres://u:hunter2@db/x\n"})
    committed(folder)
    code, document = folder.run("--host", "mini")
    assert (code, document["files"]) == (0, [HOST, str(folder.config)])
    assert document["values"][0]["hint"].startswith("They are in git.")


@pytest.mark.parametrize("ignored", [True, False])
def test_the_document_server_as_it_is_published(folder: Folder, ignored: bool) -> None:
    files = {"docker-compose.postgres.yml": PAPERLESS, "docker-compose.env": PAPERLESS_ENV}
    put(folder, {**files, ".env": "COMPOSE_PROJECT_NAME=paperless\n"})
    if ignored:
        put(folder, {".gitignore": "docker-compose.env\n"})
        folder.git("init", "-q", "-b", "main")
    code, document = folder.run("--host", "mini")
    assert code == 0
    assert stacks(folder)["paperless"]["files"] == ["docker-compose.postgres.yml"]
    [told] = document["values"]
    assert told["names"] == ["USERMAP_UID", "PAPERLESS_URL", "PAPERLESS_SECRET_KEY"]
    assert str(folder.config.parent / "secrets/paperless.env") in told["hint"]
    [(rule, hint)] = denied(document)
    assert rule == "file-missing"
    assert "environment" in hint
    assert "Did you mean" not in str(document)
    taken = committed(folder)
    assert "docker-compose.env" not in taken
    assert "docker-compose.postgres.yml" in taken

    reference = "env_file: docker-compose.env"
    names = ", ".join(f"{name}: '${{{name}}}'" for name in told["names"])
    put(folder, {"docker-compose.postgres.yml": PAPERLESS.replace(reference, "x-y: 1").replace(
        "PAPERLESS_DBHOST: db", f"PAPERLESS_DBHOST: db, {names}")})  # fmt: skip
    code, valid = folder.run("--config", str(folder.config), verb="validate")
    assert not [item for item in valid["violations"] if item["rule"] in ("file-missing", "unset-variable")], valid


def test_all_that_is_bad_writes_nothing(folder: Folder) -> None:
    put(folder, {"a/compose.yaml": "services: 7", "b/compose.yaml": "x: ["})
    code, document = folder.run("--host", "mini")
    assert (code, document["files"], len(document["left"])) == (1, [], 2)
    assert not (folder.root / "desired-state").exists()
    assert not folder.config.exists()


def test_what_is_ignored_already_is_not_ignored_twice(folder: Folder) -> None:
    put(folder, {"compose.yaml": COMPOSE, "data/x": "x", ".gitignore": "data\n.env\n", ".env": "TOKEN=abcdef\n"})
    put(folder, {"conf/x": "x", "src/x": "x"})
    folder.git("init", "-q", "-b", "main")
    folder.git("add", "compose.yaml", "conf", "src")
    code, document = folder.run("--host", "mini")
    assert (code, (folder.root / ".gitignore").read_text()) == (0, "data\n.env\n")
    assert document["values"][0]["names"] == ["TOKEN"]
    second, again = folder.run("--host", "mini")
    assert (second, again["reason"]) == (1, "UsageInvalid")
    assert (folder.root / ".gitignore").read_text() == "data\n.env\n"


@pytest.mark.parametrize("ignored", [True, False])
def test_an_env_file_above_the_folder_is_kept_like_one_in_it(folder: Folder, ignored: bool) -> None:
    text = "services: {web: {image: 'w:1', env_file: ../.env, mem_limit: 64m}}\n"
    put(folder, {"docker/compose.yaml": text, ".env": "DB_PASSWORD=s3cret\n"})
    if ignored:
        put(folder, {".gitignore": "/.env\n"})
    folder.git("init", "-q", "-b", "main")
    code, document = folder.run("docker", "--host", "mini", "--config", "../agent/reconciler.yaml")
    assert {str(folder.config), str(folder.config.parent / "secrets/docker.env")} <= set(document["files"])
    assert (code, [item["names"] for item in document["values"]]) == (0, [["DB_PASSWORD"]])
    assert "DB_PASSWORD=" in (folder.config.parent / "secrets/docker.env").read_text()
    assert (folder.root / ".gitignore").read_text() == "/.env\n"
    assert ".env" not in committed(folder)


def test_a_link_to_an_ignored_env_file_is_kept_like_the_file(folder: Folder) -> None:
    text = "services: {web: {image: 'w:1', environment: {A: '${DBPASS:?}'}, mem_limit: 64m}}\n"
    put(folder, {"compose.yaml": text, "shop.conf": "DBPASS=s3cret\nTAG=1\n", ".gitignore": "shop.conf\n"})
    (folder.root / ".env").symlink_to("shop.conf")
    committed(folder)
    _, document = folder.run("--host", "mini")
    assert [item["names"] for item in document["values"]] == [["DBPASS"]]
    [(rule, hint)] = denied(document)
    assert (rule, hint.startswith("Remove it, and put its values into <secrets_dir>/shop.env")) == ("symlink", True)
    (folder.root / ".env").unlink()
    assert "DBPASS=" in (folder.config.parent / "secrets/shop.env").read_text()
    assert folder.run("--config", str(folder.config), ".", verb="validate")[1]["valid"]


def test_of_a_link_to_a_file_in_git_the_file_is_named(folder: Folder) -> None:
    text = "services: {web: {image: 'w:1', environment: {A: '${DBPASS:-}'}, mem_limit: 64m}}\n"
    put(folder, {"compose.yaml": text, "shop.conf": "DBPASS=s3cret\n"})
    (folder.root / ".env").symlink_to("shop.conf")
    committed(folder)
    [values] = folder.run("--host", "mini")[1]["values"]
    assert "`git rm --cached shop.conf`" in values["hint"]


def test_an_env_file_outside_of_the_repository_is_told_with_its_place(folder: Folder) -> None:
    put(folder, {"compose.yaml": "services: {web: {image: 'w:1', env_file: ../other.env}}\n"})
    code, document = folder.run("--host", "mini")
    [left] = document["left"]
    assert (code, left["reason"].partition(". ")[0]) == (
        1, "compose.yaml:1: env_file '../other.env' is not inside the commit",
    )  # fmt: skip
    assert "/tmp" not in str(document["violations"])
