"""Repositories in which somebody has replaced git's files by other things: the agent never waits for them."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.effects import Effects
from reconciler.errors import Interrupted, Transient
from reconciler.model.outcome import Reason
from reconciler.observe.source import GitSource
from reconciler.process import ProcessTimeout
from reconciler.waiting import listening
from tests.observe.sources import FILES, mirror_of, source
from tests.repository import Repository

QUICK = 20.0
"""Seconds that a look may take on a busy machine; what waits for a pipe waits for minutes."""


def listens(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path may not be long
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def grows(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


ODD: dict[str, Callable[[Path], None]] = {
    "a pipe": os.mkfifo,
    "a socket": listens,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "larger than": grows,
    "a folder": Path.mkdir,
}
FILES_OF_GIT = ("refs/heads/main", "packed-refs", "HEAD", "config", "objects/info/alternates")


def seen(looks: GitSource) -> str:
    """The head, or why there is none."""
    try:
        return looks.fetch().sha
    except Transient as error:
        return error.message


@pytest.mark.parametrize("name", FILES_OF_GIT)
@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_file_is_told_at_once_and_the_head_is_seen_again_when_it_is_gone(
    theirs: Repository, name: str, kind: str
) -> None:
    first = theirs.push(FILES)
    ours = source(theirs)
    ours.fetch()
    path = theirs.folder / name
    kept = path.read_bytes() if path.exists() else None
    path.unlink(missing_ok=True)
    ODD[kind](path)
    begun = time.monotonic()
    for looks in (ours, source(theirs)):
        found = seen(looks)
        assert found == first or f"{name} is {kind}" in found
    assert time.monotonic() - begun < QUICK
    path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    if kept is not None:
        path.write_bytes(kept)
    newest = theirs.push({**FILES, "new": "1"})
    assert ours.fetch().sha == newest


def test_a_pipe_in_the_place_of_the_repository_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "home.git", tmp_path / "work" / ".git"):
        path.parent.mkdir(exist_ok=True)
        os.mkfifo(path)
    for folder in ("home.git", "work"):
        ours = GitSource(str(tmp_path / folder), "main", tmp_path / "mirror", environ=os.environ, effects=Effects())
        with pytest.raises(Transient):
            ours.fetch()


@pytest.fixture
def pipes_as_objects(theirs: Repository) -> Repository:
    """Git itself waits for them."""
    theirs.push(FILES)
    for path in sorted((theirs.folder / "objects").rglob("*")):
        if path.is_file():
            path.unlink()
            os.mkfifo(path)
    return theirs


def test_git_that_waits_for_a_pipe_is_ended_in_time(pipes_as_objects: Repository) -> None:
    folder, mirror = str(pipes_as_objects.folder), mirror_of(pipes_as_objects)
    ours = GitSource(folder, "main", mirror, environ=os.environ, effects=Effects(), timeouts=(1.0, 1.0))
    begun = time.monotonic()
    with pytest.raises(Transient):
        ours.fetch()
    assert time.monotonic() - begun < QUICK


def test_who_listens_while_git_is_at_work_fetches_nothing(pipes_as_objects: Repository) -> None:
    ours = source(pipes_as_objects)
    heard: list[str] = []

    def asks() -> None:
        heard.append(seen(ours))
        raise Interrupted(Reason.INTERRUPTED, "asked to end")

    with listening(asks), pytest.raises(Interrupted):
        ours.fetch()
    assert len(heard) == 1
    assert "git is running there" in heard[0]


def test_git_that_waits_for_a_pipe_is_ended_when_it_is_not_wanted_any_more(pipes_as_objects: Repository) -> None:
    begun = time.monotonic()

    def ends() -> None:
        raise Interrupted(Reason.INTERRUPTED, "asked to end")

    with listening(ends), pytest.raises((Interrupted, ProcessTimeout, Transient)) as caught:
        source(pipes_as_objects).fetch()
    assert isinstance(caught.value, Interrupted)
    assert time.monotonic() - begun < QUICK
