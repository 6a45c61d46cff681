"""The commit that a merge would make, by real git."""

from __future__ import annotations

import os

import pytest

from reconciler.errors import Transient
from reconciler.observe.git import Git
from reconciler.observe.merge import merge
from tests.repository import Repository


@pytest.fixture
def git(theirs: Repository) -> Git:
    return Git(theirs.folder, os.environ)


def test_a_branch_that_lags_is_merged_and_always_with_the_same_sha(theirs: Repository, git: Git) -> None:
    base = theirs.push({"a": "1", "b": "1"})
    theirs.set(base, "ours")
    ours = theirs.push({"a": "1", "b": "2"}, "ours")
    assert merge(git, base, ours) == (ours, ())
    onto = theirs.push({"a": "2", "b": "1"})
    merged, conflicts = merge(git, onto, ours)
    assert conflicts == ()
    assert merged is not None
    assert {name: theirs.git("show", f"{merged}:{name}") for name in "ab"} == {"a": "2", "b": "2"}
    assert merge(git, onto, ours) == (merged, ())
    assert theirs.git("merge-base", merged, onto) == onto


def test_conflicts_are_named(theirs: Repository, git: Git) -> None:
    base = theirs.push({"a": "1", "odd name": "1"})
    theirs.set(base, "ours")
    ours = theirs.push({"a": "2", "odd name": "2"}, "ours")
    onto = theirs.push({"a": "3", "odd name": "3"})
    assert merge(git, onto, ours) == (None, ("a", "odd name"))


def test_what_is_no_commit_is_told(theirs: Repository, git: Git) -> None:
    base = theirs.push({"a": "1"})
    with pytest.raises(Transient, match="git cannot merge"):
        merge(git, base, "f" * 40)
