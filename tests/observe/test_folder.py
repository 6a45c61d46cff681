"""A working folder is seen as git would see it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from reconciler.errors import Usage
from reconciler.model.files import READ_LIMIT, TooLargeError
from reconciler.observe.folder import FolderFiles
from tests.repository import ENVIRONMENT


def test_entries_are_what_git_would_commit(tmp_path: Path) -> None:
    (tmp_path / "etc" / "nginx").mkdir(parents=True)
    (tmp_path / "etc" / "nginx" / "site.conf").write_text("listen 80;\n")
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o755)
    (tmp_path / "ümläut").write_text("")
    (tmp_path / "link").symlink_to("etc/nginx/site.conf")
    (tmp_path / "folder-link").symlink_to("etc")
    (tmp_path / "empty").mkdir()
    script = "git init -q && git add -A && git -c core.quotepath=off ls-files -s"
    done = subprocess.run(script, shell=True, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    entries = FolderFiles(tmp_path).entries
    ours = [f"{entry.mode} {entry.oid} 0\t{path}" for path, entry in sorted(entries.items())]
    assert ours == sorted(done.stdout.splitlines(), key=lambda line: line.partition("\t")[2])
    assert all(entry.path == path for path, entry in entries.items())
    assert entries["run.sh"].size == 10


def test_only_regular_files_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "link").symlink_to("/etc/passwd")
    assert FolderFiles(tmp_path).link("link") == "/etc/passwd"
    os.mkfifo(tmp_path / "pipe")
    files = FolderFiles(tmp_path)
    assert files.revision is None
    assert files.read("a") == b"x"
    assert list(files.entries) == ["a", "link"]
    for path in ("link", "pipe", "none", "../a", ""):
        with pytest.raises(KeyError):
            files.read(path)


def test_nested_repositories_are_submodules(tmp_path: Path) -> None:
    (tmp_path / "module" / ".git").mkdir(parents=True)
    (tmp_path / "module" / "compose.yaml").touch()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").touch()
    entries = FolderFiles(tmp_path).entries
    assert {path: entry.mode for path, entry in entries.items()} == {"module": "160000"}


def test_names_that_cannot_be_committed_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a\nb").touch()
    (tmp_path / ".GIT").mkdir()
    (tmp_path / ".GIT" / "config").touch()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")).touch()
    (tmp_path / "ok").touch()
    files = FolderFiles(tmp_path)
    assert list(files.entries) == ["ok"]
    assert {violation.rule for violation in files.refused} == {"odd-path", "unsafe-path"}
    assert sorted(violation.path or "" for violation in files.refused) == [".GIT/config", "a\\nb", "caf\\\\xe9"]


def test_large_files_are_read_only_when_asked_for(tmp_path: Path) -> None:
    with (tmp_path / "big").open("wb") as file:
        file.truncate(READ_LIMIT + 1)
    files = FolderFiles(tmp_path)
    with pytest.raises(TooLargeError, match=f"big has {READ_LIMIT + 1} bytes"):
        files.read("big")
    assert len(files.read("big", READ_LIMIT + 1)) == READ_LIMIT + 1


def test_what_nobody_asks_for_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 42)
    (tmp_path / "a").write_text("x")
    files = FolderFiles(tmp_path)
    assert sorted(files.entries) == ["a", "huge"]
    assert files.entries["a"].size == 1


def test_a_file_that_became_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    files = FolderFiles(tmp_path)
    (tmp_path / "a").unlink()
    (tmp_path / "a").symlink_to("/etc/passwd")
    with pytest.raises(Usage, match="cannot be read"):
        files.read("a")


def test_what_goes_while_it_is_listed_is_not_there(tmp_path: Path) -> None:
    for path in ("a", "b.tmp", "folder/c", "folder/deeper/d", "z"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("x")
    files = FolderFiles(tmp_path)
    listing = iter(files._listed())
    assert next(listing).path == "a"
    (tmp_path / "b.tmp").unlink()
    assert next(listing).path == "folder/c"
    shutil.rmtree(tmp_path / "folder")
    assert [entry.path for entry in listing] == ["z"]
    with pytest.raises(Usage, match=r"b\.tmp cannot be read"):
        files.read("b.tmp")


@pytest.mark.parametrize("what", ["missing", "file"])
def test_what_is_no_folder_is_said(tmp_path: Path, what: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Usage, match=f"{tmp_path / what} cannot be read") as caught:
        FolderFiles(tmp_path / what)
    assert caught.value.hint
