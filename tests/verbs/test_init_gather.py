"""`init --running` copies what a project needs, and nothing else that lies beside it."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from reconciler.model.observed import Container, Mount, Started
from reconciler.observe.project import compose_folder
from reconciler.verbs import init_gather
from reconciler.verbs.init_gather import Gathered, gather

COMPOSE = """\
services:
  web:
    build: ./web
    env_file: [web.env]
    volumes: ["./conf:/etc/conf:ro", "./data:/data", "./one.txt:/one.txt"]
    extends: {file: common.yaml, service: base}
configs: {page: {file: ./page.html}}
"""
FILES = {
    "compose.yaml": COMPOSE,
    "common.yaml": "services: {base: {image: x}}\n",
    ".env": "TAG=1\n",
    "web.env": "A=1\n",
    "web/Dockerfile": "FROM x\n",
    "web/src/main.py": "",
    "conf/a.conf": "one\n",
    "one.txt": "1",
    "page.html": "",
    "data/table": "rows",
    "private/key": "secret",
    "dump.sql": "rows",
}


def project(root: Path, **more: str) -> Started:
    for path, text in {**FILES, **more}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return Started("shop", str(root), (str(root / "compose.yaml"),))


def gathered(tmp_path: Path, *started: Started) -> Gathered:
    (tmp_path / "new").mkdir()
    data = tuple(Mount("bind", f"{one.folder}/data", "/data", True) for one in started)
    # It started in 1970, so every file was written later.
    web = Container("1", "shop-web-1", "shop", "web", 1, "running", mounts=data, started_at="1970-01-01T00:00:01Z")
    return gather(started, [web], compose_folder, tmp_path / "new", unseen=())


def copied(tmp_path: Path) -> set[str]:
    top = tmp_path / "new/compose/shop"
    return {path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file()}


def test_only_what_the_project_names_is_copied(tmp_path: Path) -> None:
    found = gathered(tmp_path, project(tmp_path / "shop"))
    assert copied(tmp_path) == {*FILES} - {"data/table", "private/key", "dump.sql"}
    top = tmp_path / "new/compose/shop"
    assert found == Gathered((Started("shop", str(top), (str(top / "compose.yaml"),)),), ())
    for path in ("compose.yaml", "conf/a.conf"):
        assert (top / path).stat().st_mtime_ns == (tmp_path / "shop" / path).stat().st_mtime_ns


def test_a_build_from_the_whole_folder_takes_all_but_data_and_git(tmp_path: Path) -> None:
    whole = COMPOSE.replace("./web", ".")
    gathered(tmp_path, project(tmp_path / "shop", **{"compose.yaml": whole, ".git/config": "x"}))
    assert copied(tmp_path) == {*FILES} - {"data/table"}


def test_a_link_is_copied_as_a_link(tmp_path: Path) -> None:
    started = project(tmp_path / "shop")
    (tmp_path / "shop/conf/link").symlink_to("/etc/shadow")
    gathered(tmp_path, started)
    assert os.readlink(tmp_path / "new/compose/shop/conf/link") == "/etc/shadow"


def test_projects_that_cannot_be_copied_are_left_out_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = project(tmp_path / "shop")
    outside = tmp_path / "other.yaml"
    outside.write_text("services: {}\n")
    gone = Started("gone", str(tmp_path / "gone"))
    elsewhere = Started("elsewhere", one.folder, (*one.files, str(outside)))
    variables = Started("variables", one.folder, one.files, (str(outside),))
    empty = Started("empty", str(tmp_path / "shop/web"))
    reasons = [item.reason for item in gathered(tmp_path, gone, elsewhere, variables, empty).left]
    assert [told in reason for told, reason in zip(
        ("does not exist any more", "not below", "not below", "there is no Compose file"), reasons, strict=True
    )] == [True] * 4  # fmt: skip
    assert not list((tmp_path / "new").iterdir())
    (tmp_path / "new").rmdir()
    monkeypatch.setattr(init_gather, "MOST_BYTES", 10)
    assert "at most" in gathered(tmp_path, one).left[0].reason


def test_a_project_does_not_take_a_whole_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = project(tmp_path / "shop", **{"compose.yaml": COMPOSE.replace("./web", ".")})
    mine = pwd.struct_passwd(("me", "x", 1000, 1000, "", str(tmp_path / "shop"), "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwall", lambda: [mine])
    assert "a home folder" in gathered(tmp_path, whole).left[0].reason


def test_a_project_in_the_root_of_the_machine_is_left_out(tmp_path: Path) -> None:
    assert "lies in /" in gather([Started("shop", "/", ())], [], compose_folder, tmp_path).left[0].reason


def test_a_project_that_the_service_does_not_see_is_left_out(tmp_path: Path) -> None:
    found = gather([project(tmp_path / "shop")], [], compose_folder, tmp_path, unseen=(str(tmp_path),))
    assert "Move" in found.left[0].reason
