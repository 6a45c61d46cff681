"""The cost of a fetch, and what a remote can do to it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.effects import Effects
from reconciler.errors import Transient
from reconciler.model.outcome import Reason
from reconciler.observe.source import GitSource
from tests.observe.sources import FILES, source
from tests.repository import ENVIRONMENT, Repository


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A file that gets a line for each git that is started below it in PATH."""
    seen, shims = tmp_path / "started", tmp_path / "shims"
    shims.mkdir()
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    (shims / "git").write_text(f'#!/bin/sh\necho "$*" >> {seen}\nexec {real} "$@"\n')
    (shims / "git").chmod(0o755)
    seen.touch()
    return seen


def counted(theirs: Repository, programs: Path) -> GitSource:
    environ = {**os.environ, "PATH": f"{programs.parent / 'shims'}:{os.environ['PATH']}"}
    return source(theirs, environ=environ)


def starts(programs: Path) -> list[str]:
    lines = programs.read_text().splitlines()
    programs.write_text("")
    return lines


def test_an_unchanged_local_branch_costs_no_process(theirs: Repository, programs: Path) -> None:
    theirs.push(FILES)
    ours = counted(theirs, programs)
    ours.fetch()
    starts(programs)
    for _ in range(3):
        ours.fetch()
    assert starts(programs) == []


def test_a_new_process_needs_one_git_for_an_unchanged_branch(theirs: Repository, programs: Path) -> None:
    theirs.push(FILES)
    counted(theirs, programs).fetch()
    starts(programs)
    counted(theirs, programs).fetch()
    assert len(starts(programs)) == 1


def test_where_a_look_is_not_certain_an_unchanged_branch_costs_one_fetch(theirs: Repository, programs: Path) -> None:
    theirs.push(FILES)
    theirs.git("symbolic-ref", "refs/heads/live", "refs/heads/main")
    ours = counted(theirs, programs)
    ours.branch = "live"
    ours.fetch()
    starts(programs)
    ours.fetch()
    ours.fetch()
    assert [line for line in starts(programs) if " fetch " not in line and "rev-list" not in line] == []


def test_a_turn_without_news_imports_no_git_library(theirs: Repository) -> None:
    theirs.push(FILES)
    source(theirs).fetch()
    code = f"""
import os, sys
from pathlib import Path
from reconciler.effects import Effects
from reconciler.observe.source import GitSource
ours = GitSource({str(theirs.folder)!r}, "main", Path({str(theirs.folder.parent / "state/mirror.git")!r}),
                 environ=os.environ, effects=Effects())
ours.fetch()
assert not {{"git", "gitdb"}} & set(sys.modules)
files = ours.files(ours.fetch().sha)
files.read("compose.yaml")
assert "gitdb" in sys.modules and "git" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_vanished_branch_is_transient_and_nothing_is_lost(theirs: Repository) -> None:
    sha = theirs.push(FILES)
    ours = source(theirs)
    ours.fetch()
    ours.pin("good", sha)
    theirs.git("branch", "-m", "main", "other")
    with pytest.raises(Transient) as caught:
        ours.fetch()
    assert caught.value.reason is Reason.FETCH_FAILED
    assert caught.value.message.startswith(f"cannot fetch branch main from {theirs.folder}: ")
    assert "source.branch" in caught.value.hint
    assert ours.files(sha).read("compose.yaml")
    assert ours.pins("") == {"good": sha}
    theirs.git("branch", "-m", "other", "main")
    assert ours.fetch().sha == sha


def test_a_vanished_repository_is_transient_and_nothing_is_lost(theirs: Repository) -> None:
    sha = theirs.push(FILES)
    ours = source(theirs)
    ours.fetch()
    ours.pin("good", sha)
    theirs.folder.rename(theirs.folder.with_name("elsewhere"))
    with pytest.raises(Transient, match="does not appear to be a git repository") as caught:
        ours.fetch()
    assert "source.url" in caught.value.hint
    assert ours.pins("") == {"good": sha}


def test_an_empty_repository_is_transient(theirs: Repository) -> None:
    with pytest.raises(Transient, match="couldn't find remote ref refs/heads/main"):
        source(theirs).fetch()


def test_an_unreachable_https_remote_names_no_credentials(tmp_path: Path) -> None:
    url = "https://user:hunter2000@127.0.0.1:9/home.git"
    ours = GitSource(url, "main", tmp_path / "m", environ=os.environ, effects=Effects())
    with pytest.raises(Transient) as caught:
        ours.fetch()
    text = caught.value.message + caught.value.hint
    assert "https://127.0.0.1:9/home.git" in text
    assert "hunter2000" not in text
    assert "asked again later" in caught.value.hint


def test_credentials_stand_neither_in_the_mirror_nor_in_arguments(tmp_path: Path) -> None:
    url = "https://user:hunter2000@127.0.0.1:9/home.git"
    ours = GitSource(url, "main", tmp_path / "m", environ=os.environ, effects=Effects())
    with pytest.raises(Transient):
        ours.fetch()
    assert "hunter2000" not in " ".join([*ours.git._arguments, ours.remote.address, ours.remote.shown])
    for path in (tmp_path / "m").rglob("*"):
        assert path.is_dir() or b"hunter2000" not in path.read_bytes()


def test_a_remote_that_hangs_is_given_up(tmp_path: Path) -> None:
    environ = {**os.environ, "GIT_SSH_COMMAND": "sleep 300; :"}
    ours = GitSource(
        "git@example.org:home.git", "main", tmp_path / "m", environ=environ, effects=Effects(), timeouts=(0.5, 0.5)
    )
    with pytest.raises(Transient, match=r"no end within 0\.5 s") as caught:
        ours.fetch()
    assert caught.value.reason is Reason.FETCH_FAILED


def test_a_repository_of_another_object_format_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "home.git"
    script = f"git init -q --object-format=sha256 -b main {folder} && cd {folder} && git commit -q --allow-empty -m x"
    subprocess.run(script, shell=True, env=ENVIRONMENT, check=True)
    ours = GitSource(str(folder), "main", tmp_path / "m", environ=os.environ, effects=Effects())
    with pytest.raises(Transient) as caught:
        ours.fetch()
    assert "sha1" in caught.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's repository")
def test_another_users_repository_is_read(theirs: Repository) -> None:
    sha = theirs.push(FILES)
    for path in [theirs.folder, *theirs.folder.rglob("*")]:
        os.chown(path, 12345, 12345)
    assert source(theirs).fetch().sha == sha
