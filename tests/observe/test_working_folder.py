"""A working folder is judged as `git add -A` would commit it."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.materialise import remove
from reconciler.observe.folder import FolderFiles
from reconciler.observe.project import folder_around, working_folder
from tests.repository import ENVIRONMENT

NOBODY = 65534


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    return done.stdout


def names(folder: Path, **environ: str) -> list[str]:
    return sorted(working_folder(folder, {**ENVIRONMENT, **environ}).entries)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return cloned(tmp_path / "clone")


def cloned(folder: Path) -> Path:
    files = {
        ".gitignore": ".env\ndata/\n", ".env": "A=1\n", "data/pg/PG_VERSION": "16\n", "compose.yaml": "services: {}\n",
        "stacks/shop/compose.yaml": "services: {}\n", "stacks/shop/.gitignore": "*.local\n", "stacks/shop/x.local": "",
        "gone": "",
    }  # fmt: skip
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "x")
    (folder / "gone").unlink()
    (folder / "new.yaml").write_text("")
    return folder


COMMITTED = [".gitignore", "compose.yaml", "new.yaml", "stacks/shop/.gitignore", "stacks/shop/compose.yaml"]


def test_it_holds_what_git_would_commit(clone: Path) -> None:
    assert names(clone) == COMMITTED
    before = git(clone, "status", "--porcelain")
    git(clone, "add", "-A")
    ids = {line.split()[3]: line.split()[1] for line in git(clone, "ls-files", "-s").splitlines()}
    assert before
    assert {path: entry.oid for path, entry in working_folder(clone, ENVIRONMENT).entries.items()} == ids


def test_a_folder_within_is_a_repository_s_root_of_its_own(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert names(clone / "stacks") == ["shop/.gitignore", "shop/compose.yaml"]
    monkeypatch.chdir(clone / "stacks/shop")
    assert names(Path(".")) == [".gitignore", "compose.yaml"]
    monkeypatch.chdir(clone / "data")
    assert names(clone) == COMMITTED


def test_what_is_tracked_counts_although_it_is_ignored(clone: Path) -> None:
    git(clone, "add", "-f", ".env")
    assert ".env" in names(clone)


def test_repositories_within_are_submodules(clone: Path) -> None:
    (clone / "nested").mkdir()
    git(clone / "nested", "init", "-q")
    git(clone / "nested", "commit", "-q", "--allow-empty", "-m", "x")
    files = working_folder(clone, ENVIRONMENT)
    assert files.entries["nested"].mode == "160000"


def test_what_the_user_s_own_configuration_ignores_is_left_out(clone: Path, tmp_path: Path) -> None:
    (tmp_path / "patterns").write_text("new.yaml\n")
    (tmp_path / ".gitconfig").write_text(f"[core]\n\texcludesFile = {tmp_path}/patterns\n")
    assert names(clone, HOME=str(tmp_path)) == [path for path in COMMITTED if path != "new.yaml"]


def test_a_folder_that_git_ignores_as_a_whole_is_taken_as_it_is(clone: Path) -> None:
    (clone / "data/app").mkdir()
    (clone / "data/app/compose.yaml").write_text("services: {}\n")
    assert names(clone / "data/app") == ["compose.yaml"]


def test_a_worktree(clone: Path, tmp_path: Path) -> None:
    git(clone, "worktree", "add", "-q", str(tmp_path / "tree"), "-b", "other")
    (tmp_path / "tree/.env").write_text("A=1\n")
    assert ".env" not in names(tmp_path / "tree")


@pytest.fixture
def closed() -> Iterator[Path]:
    """With the data of services that run as other users; root becomes another user for the test."""
    folder = Path(tempfile.mkdtemp())
    clone = cloned(folder / "clone")
    others = (clone / "data/pg", clone / "open")
    others[1].mkdir()
    for path in (folder, *folder.rglob("*")):
        if os.geteuid() == 0 and path not in others:
            os.chown(path, NOBODY, NOBODY)
    for path in others:
        path.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield clone
    finally:
        if root:
            os.seteuid(0)
        remove(folder)


def test_data_that_cannot_be_read_are_no_reason_to_end(closed: Path) -> None:
    plain = FolderFiles(closed)
    assert [(item.rule, item.path, item.level) for item in plain.refused] == [
        ("unreadable", "data/pg", "warn"),
        ("unreadable", "open", "warn"),
    ]
    assert "compose.yaml" in plain.entries


def test_data_that_cannot_be_read_and_are_ignored_are_not_told_at_all(closed: Path) -> None:
    assert working_folder(closed, ENVIRONMENT).refused == ()


SERVICE = "services: {db: {image: x, volumes: ['./data/pg:/pg']}}\n"


@pytest.mark.parametrize(
    ("text", "beside", "left"),
    [
        ("services: {}\n", "", {".env"}),
        (SERVICE, "", {".env", "data/pg/PG_VERSION"}),
        ("services: {db: {volumes: ['./${WHERE}/pg:/pg']}}\n", "WHERE=data\n", {".env", "data/pg/PG_VERSION"}),
        ("include: [other.yaml]\n", "", {".env", "data/pg/PG_VERSION", "packages/a.js"}),
    ],
    ids=["names none", "names one", "names one by a variable", "reads others"],
)
def test_plain_files_are_judged_without_ignored_folders(clone: Path, text: str, beside: str, left: set[str]) -> None:
    (clone / "packages").mkdir()
    (clone / "packages/a.js").touch()
    (clone / ".git/info/exclude").write_text("packages/\n")
    (clone / "compose.yaml").write_text(text)
    (clone / ".env").write_text(beside)

    found = folder_around([clone / "compose.yaml"], clone, ENVIRONMENT).entries.keys()

    assert found & {".env", "data/pg/PG_VERSION", "packages/a.js"} == left
    assert {"compose.yaml", "new.yaml", "stacks/shop/x.local"} <= found


def test_plain_files_outside_of_a_repository_see_all(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/x").touch()
    (tmp_path / ".gitignore").write_text("data/\n")

    assert folder_around([tmp_path / "compose.yaml"], tmp_path, ENVIRONMENT).entries.keys() == {"data/x", ".gitignore"}
