"""A push from the laptop: real git, and a repository whose hooks refuse, or show a rollout for ever."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from reconciler.act.push import push, restoring_commit
from reconciler.errors import Transient, Usage
from reconciler.observe.clone import Clone
from tests.hooks.tool import clone, git, script
from tests.repository import ENVIRONMENT, Repository


@pytest.fixture
def remote(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "home.git")


@pytest.fixture
def place(tmp_path: Path, remote: Repository) -> Clone:
    folder = clone(tmp_path)
    git(folder, "remote", "add", "mini", str(remote.folder))
    return Clone(str(folder), ENVIRONMENT)


def head(place: Clone) -> str:
    found = place.commit("HEAD")
    assert found
    return found


def test_a_commit_arrives_with_and_without_push_options(place: Clone, remote: Repository) -> None:
    assert push(place, "mini", head(place), "main", ("reconciler.no-wait",), 60.0, shown=False) is None
    assert remote.head() == head(place)
    assert place.fetched("mini", "main") == head(place)
    assert place.fetched("mini", "other") is None


def test_a_refusal_is_told_in_gits_words(place: Clone, remote: Repository) -> None:
    script(remote.folder / "hooks/pre-receive", "echo compose.yaml:3: not valid >&2; exit 1")
    refused = push(place, "mini", head(place), "main", (), 60.0, shown=False)
    assert refused is not None
    assert any("compose.yaml:3: not valid" in line for line in refused)


def test_a_remote_that_is_away_is_no_refusal(place: Clone, remote: Repository) -> None:
    remote.folder.rename(remote.folder.with_name("gone"))
    with pytest.raises(Transient, match="the push to mini failed"):
        push(place, "mini", head(place), "main", (), 60.0, shown=False)
    with pytest.raises(Transient, match="mini cannot be read"):
        place.fetched("mini", "main")


def test_a_view_that_does_not_end_is_cut_off_and_the_commit_is_there(place: Clone, remote: Repository) -> None:
    script(remote.folder / "hooks/post-receive", "sleep 15")
    assert push(place, "mini", head(place), "main", (), 2.0, shown=False) is None
    assert remote.head() == head(place)


def test_a_tree_is_restored_without_touching_the_working_folder(place: Clone, remote: Repository) -> None:
    folder, first = Path(place.folder), head(place)
    (folder / "file").write_text("two")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "second")
    (folder / "file").write_text("not committed")
    second = head(place)
    made = restoring_commit(place, place.tree(first), second, "Roll back")
    assert (place.tree(made), git(folder, "rev-parse", f"{made}^")) == (place.tree(first), second)
    assert (head(place), (folder / "file").read_text()) == (second, "not committed")
    assert [line.split()[-1] for line in place.changes()] == ["file"]
    nobody = Clone(place.folder, {key: value for key, value in ENVIRONMENT.items() if "AUTHOR" not in key})
    nobody.environ = {**nobody.environ, "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "user.useConfigOnly"}
    nobody.environ = {**nobody.environ, "GIT_CONFIG_VALUE_0": "true"}
    with pytest.raises(Usage, match="git cannot make the commit"):
        restoring_commit(nobody, place.tree(first), second, "Roll back")
    assert subprocess.run(["git", "-C", place.folder, "fsck"], capture_output=True).returncode == 0


def test_a_repository_among_the_files_of_a_clone_is_not_asked(place: Clone, tmp_path: Path) -> None:
    """Whoever can push can commit one, with a config that names programs and remotes."""
    folder = Path(place.folder) / "app"
    git(Path(place.folder), "init", "--quiet", "--bare", str(folder))
    for name, value in (("bare", "false"), ("worktree", str(folder)), ("fsmonitor", f"touch {tmp_path}/ran")):
        git(folder, "config", f"core.{name}", value)
    git(folder, "config", "remote.mini.url", "ssh://root@elsewhere.invalid/srv/git/home.git")
    within = Clone(str(folder), ENVIRONMENT)
    assert within.url("mini") is None
    with pytest.raises(Usage):
        within.root()
    with pytest.raises(Usage):
        within.changes()
    assert not (tmp_path / "ran").exists()
