"""The watched branch, with real git on real folders."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from reconciler.effects import Effects
from reconciler.observe.commits import parents
from reconciler.observe.source import GitSource
from reconciler.process import ProcessMissing
from tests.observe.sources import FILES, source
from tests.repository import ENVIRONMENT, Repository


def test_fetch_gives_the_head(theirs: Repository) -> None:
    sha = theirs.push(FILES, message="Subject over\ntwo lines\n\nbody")
    assert source(theirs).fetch().sha == sha


def test_each_push_is_seen_by_the_next_fetch(theirs: Repository) -> None:
    ours = source(theirs)
    for number in range(4):
        sha = theirs.push({"a": str(number)})
        assert ours.fetch().sha == sha
        assert ours.files(sha).read("a") == str(number).encode()


def test_a_packed_ref_is_seen(theirs: Repository) -> None:
    ours = source(theirs)
    theirs.push({"a": "1"})
    ours.fetch()
    sha = theirs.push({"a": "2"})
    theirs.git("pack-refs", "--all")
    assert ours.fetch().sha == sha
    sha = theirs.push({"a": "3"})
    assert ours.fetch().sha == sha


def test_a_working_tree_with_its_repository_inside_is_a_source(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    script = "git init -q -b main && echo x > a && git add a && git commit -qm one && git rev-parse HEAD"
    done = subprocess.run(script, shell=True, cwd=work, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    mirror = tmp_path / "state" / "mirror.git"
    ours = GitSource(str(work), "main", mirror, environ=os.environ, effects=Effects())
    assert ours.fetch().sha == done.stdout.strip()


def test_a_linked_worktree_is_a_source(theirs: Repository, tmp_path: Path) -> None:
    sha = theirs.push(FILES)
    theirs.git("worktree", "add", "-q", str(tmp_path / "linked"), "main")
    ours = GitSource(str(tmp_path / "linked"), "main", tmp_path / "m", environ=os.environ, effects=Effects())
    assert ours.fetch().sha == sha
    assert ours.fetch().sha == sha


def test_a_symbolic_branch_is_followed(theirs: Repository) -> None:
    first = theirs.push(FILES)
    theirs.git("symbolic-ref", "refs/heads/live", "refs/heads/main")
    ours = source(theirs, "live")
    assert ours.fetch().sha == first
    second = theirs.push({})
    assert ours.fetch().sha == second


@pytest.mark.parametrize("branch", ["feature/x", "v1.2", "über", "a@b", "#12", "a-{b}", "HEAD", "main"])
def test_any_branch_that_git_allows_can_be_watched(theirs: Repository, branch: str) -> None:
    sha = theirs.push(FILES, branch)
    assert source(theirs, branch).fetch().sha == sha


def test_tags_are_not_fetched(theirs: Repository) -> None:
    theirs.git("tag", "v1", theirs.push(FILES))
    ours = source(theirs)
    ours.fetch()
    assert ours.git.run("for-each-ref", "--format=%(refname)").stdout == b"refs/fetched/main\n"


def test_a_force_push_is_fetched_and_the_old_head_stays_known(theirs: Repository) -> None:
    ours = source(theirs)
    base, old = theirs.push({"a": "1"}), theirs.push({"a": "2"})
    ours.fetch()
    ours.pin("good", old)
    new = theirs.set(theirs.commit_tree(theirs.tree({"a": "3"}), parent=base))
    theirs.git("reflog", "expire", "--all", "--expire=now")
    theirs.git("gc", "-q", "--prune=now")
    assert ours.fetch().sha == new
    assert not ours.is_ancestor(old, new)
    assert ours.is_ancestor(base, new)
    assert ours.files(old).read("a") == b"2"


def test_is_ancestor_knows_what_builds_on_what(theirs: Repository) -> None:
    ours = source(theirs)
    first, second = theirs.push({"a": "1"}), theirs.push({"a": "2"})
    ours.fetch()
    assert ours.is_ancestor(first, second)
    assert ours.is_ancestor(second, second)
    assert not ours.is_ancestor(second, first)
    assert not ours.is_ancestor("0" * 40, second)
    assert not ours.is_ancestor("--all", second)


def test_the_parent_of_the_head_needs_no_git(theirs: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = source(theirs)
    first, second, third = (theirs.push({"a": str(number)}) for number in (1, 2, 3))
    side = theirs.commit_tree(theirs.tree({"a": "4"}), f"parent {first}", second)
    ours.fetch()
    monkeypatch.setitem(ours.git._environment, "PATH", "/nonexistent")
    assert ours.is_ancestor(second, third)
    with pytest.raises(ProcessMissing):
        ours.is_ancestor(first, third)
    monkeypatch.undo()
    theirs.set(side)
    assert ours.fetch().sha == side
    assert (ours.is_ancestor(second, side), ours.is_ancestor(third, side)) == (True, False)


def test_only_the_lines_that_git_reads_are_parents() -> None:
    a, b, c = (letter.encode() * 40 for letter in "abc")
    head = b"tree " + a + b"\n"
    odd = b"author x\nparent " + c + b"\n\nparent " + c + b"\n"
    assert parents(head + b"parent " + a + b"\nparent " + b + b"\n" + odd) == {"a" * 40, "b" * 40}
    assert parents(head + odd) == parents(b"x" + head) == parents(b"") == frozenset()


@pytest.mark.parametrize("sha", ["0" * 40, "main", "--help", ""])
def test_an_unknown_commit_is_a_key_error(theirs: Repository, sha: str) -> None:
    theirs.push(FILES)
    ours = source(theirs)
    ours.fetch()
    with pytest.raises(KeyError):
        ours.commit(sha)
    with pytest.raises(KeyError):
        ours.files(sha)


@pytest.mark.parametrize("date", ["1767225600 -1100", "99999999999999 +0000", "12x"])
def test_an_odd_date_is_no_obstacle(theirs: Repository, date: str) -> None:
    identity = f"Ärger <x@y> {date}"
    text = f"tree {theirs.tree(FILES)}\nauthor {identity}\ncommitter {identity}\n\nsubject\n"
    sha = theirs.git("hash-object", "-w", "--stdin", "-t", "commit", "--literally", stdin=text.encode())
    (theirs.folder / "refs/heads/main").write_text(sha + "\n")
    assert source(theirs).fetch().sha == sha


@pytest.mark.parametrize("encoding", ["ISO-8859-1", "no-such-encoding"])
def test_a_commit_in_another_encoding_is_read(theirs: Repository, encoding: str) -> None:
    text = f"tree {theirs.tree(FILES)}\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\nencoding {encoding}\n\nGrüße\n"
    sha = theirs.git("hash-object", "-w", "--stdin", "-t", "commit", stdin=text.encode("latin-1"))
    theirs.set(sha)
    assert source(theirs).fetch().sha == sha


def test_a_pin_is_an_effect_only_where_it_changes_something(theirs: Repository) -> None:
    effects = Effects()
    ours = source(theirs, effects=effects)
    first, second = theirs.push({"a": "1"}), theirs.push({"a": "2"})
    ours.fetch()
    assert effects.count == 0
    ours.pin("good", first)
    ours.pin("bad/abc", second)
    ours.pin("good", first)
    assert effects.count == 2
    assert ours.pins("") == {"bad/abc": second, "good": first}
    assert ours.pins("bad/") == {"bad/abc": second}
    assert source(theirs).pins("go") == {"good": first}
    ours.pin("maxi.local/bad/abc", second)
    ours.pin("good", second)
    assert ours.pins("good") == {"good": second}


@pytest.mark.parametrize("name", ["", "../x", "a..b", "a/", "-x", "a b", "a.lock", "a.lock/b"])
def test_a_name_that_is_no_pin_is_refused(theirs: Repository, name: str) -> None:
    sha = theirs.push(FILES)
    ours = source(theirs)
    ours.fetch()
    with pytest.raises(ValueError, match="cannot name a pin"):
        ours.pin(name, sha)


def test_a_commit_that_is_not_there_cannot_be_pinned(theirs: Repository) -> None:
    theirs.push(FILES)
    ours = source(theirs)
    ours.fetch()
    with pytest.raises(KeyError):
        ours.pin("good", "1" * 40)


def test_a_commit_is_found_by_what_people_call_it(theirs: Repository) -> None:
    first = theirs.push(FILES)
    second = theirs.push({**FILES, "more": "x"})
    ours = source(theirs)
    assert (ours.find(first), ours.fetched()) == (None, None)
    ours.fetch()
    assert ours.fetched() == second
    for name, sha in ((first, first), (first[:7], first), ("main", second), ("main~1", first)):
        assert ours.find(name) == sha
    for name in ("", "no-such", "--all", "main\n", "main:more", f"{first}..{second}", "0" * 40, "main~9"):
        assert ours.find(name) is None, name


def test_what_is_unpinned_is_forgotten(theirs: Repository) -> None:
    sha = theirs.push(FILES)
    effects = Effects()
    ours = source(theirs, effects=effects)
    ours.fetch()
    ours.pin(f"mini/bad/{sha}/content", sha)
    ours.pin(f"mini/bad/{sha}/other", sha)
    ours.unpin(f"mini/bad/{sha}/content")
    assert list(ours.pins("mini/")) == [f"mini/bad/{sha}/other"]
    before = effects.count
    ours.unpin(f"mini/bad/{sha}/content")
    assert effects.count == before
