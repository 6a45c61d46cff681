"""Repositories with a hostile owner: nothing in them runs as the agent, and nothing is written through them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.errors import ReconcilerError
from reconciler.observe.origin import as_owner, foreign_owner, writing
from reconciler.observe.remote import parse_remote
from reconciler.observe.source import files_at
from tests.record.test_notes import RequestHandler, shown
from tests.repository import ENVIRONMENT, Repository

OWNER = 12345
HOOKS = (
    "pre-receive", "update", "post-receive", "post-update", "reference-transaction", "push-to-checkout",
    "proc-receive", "post-checkout", "pre-auto-gc", "fsmonitor-watchman",
)  # fmt: skip
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository to another user")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user can reach."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        (Path(name) / "marker").mkdir()
        (Path(name) / "marker").chmod(0o777)
        yield Path(name)


def trap(place: Path, name: str) -> Path:
    """A program that records that it ran, and by which user."""
    path = place / f"trap-{name}"
    path.write_text(f"#!/bin/sh\nid -u >{place}/marker/{name}\nexit 0\n")
    path.chmod(0o755)
    return path


def ran(place: Path) -> dict[str, str]:
    return {path.name: path.read_text().strip() for path in (place / "marker").iterdir()}


def armed(place: Path, name: str = "home.git") -> Repository:
    """A repository in which everything that git could start is a trap."""
    theirs = Repository(place / name)
    theirs.push({"compose.yaml": "services: {}\n", ".gitattributes": "* filter=evil diff=evil\n"})
    (theirs.folder / "hooks").mkdir(exist_ok=True)
    for hook in HOOKS:
        (theirs.folder / "hooks" / hook).write_text(trap(place, hook).read_text())
        (theirs.folder / "hooks" / hook).chmod(0o755)
    for key in (
        "core.fsmonitor", "core.alternateRefsCommand", "core.sshCommand", "core.editor", "core.pager", "core.askPass",
        "core.gitProxy", "uploadpack.packObjectsHook", "filter.evil.clean", "filter.evil.smudge", "filter.evil.process",
        "diff.external", "diff.evil.command", "diff.evil.textconv", "gpg.program", "gpg.ssh.program",
        "gpg.openpgp.program", "gpg.ssh.defaultKeyCommand", "credential.helper", "sequence.editor",
        "merge.evil.driver", "interactive.diffFilter", "remote.origin.uploadpack", "remote.origin.receivepack",
        "alias.receive-pack", "alias.upload-pack",
    ):  # fmt: skip
        theirs.git("config", key, str(trap(place, key)))
    other = Repository(place / f"other-{name}")
    other.push({"x": "y"})
    (theirs.folder / "objects/info/alternates").write_text(f"{other.folder}/objects\n")
    (place / "included").write_text(f"[core]\n\thooksPath = {theirs.folder}/hooks\n[gc]\n\tauto = 1\n")
    for key, value in {
        "include.path": str(place / "included"), "receive.procReceiveRefs": "refs/heads", "gc.auto": "1",
        "receive.autogc": "true", "receive.certNonceSeed": "x", "receive.denyCurrentBranch": "updateInstead",
        "core.bare": "false", "core.worktree": str(theirs.folder), "core.logAllRefUpdates": "always",
        "receive.updateServerInfo": "true", "protocol.allow": "always",
    }.items():  # fmt: skip
        theirs.git("config", key, value)
    (theirs.folder / "HEAD").write_text("ref: refs/notes/reconciler/mini\n")
    for path in (place / "marker").iterdir():
        path.unlink()  # what our own preparations have set off
    return theirs


def give(repository: Repository) -> None:
    for path in (repository.folder, *repository.folder.rglob("*")):
        os.chown(path, OWNER, OWNER)


@as_root
@pytest.mark.parametrize("reachable", [True, False], ids=["the owner can get there", "root alone can"])
def test_nothing_of_somebody_elses_repository_runs_while_it_is_read_and_written(place: Path, reachable: bool) -> None:
    theirs = armed(place)
    sha = theirs.head()
    give(theirs)
    place.chmod(0o755 if reachable else 0o700)
    assert bool(as_owner(theirs.folder)) is reachable
    handler = RequestHandler(theirs)
    assert handler.source.fetch().sha == sha
    assert handler.writer.tell(handler.head())
    assert ran(place) == {}
    (theirs.folder / "HEAD").write_text("ref: refs/heads/main\n")
    (theirs.folder / "config").write_text("[core]\n\tbare = true\n")
    give(theirs)
    os.chown(theirs.folder, 0, 0)
    assert shown(theirs, sha).startswith("mini failure")


def test_nothing_of_our_own_repository_runs_either(place: Path) -> None:
    theirs = armed(place)
    handler = RequestHandler(theirs)
    assert handler.writer.tell(handler.head())
    assert ran(place) == {}


@as_root
@pytest.mark.parametrize("name", ["refs/notes", "objects/pack", "logs", "objects/info"])
def test_root_writes_nothing_where_a_link_of_the_owner_leads(place: Path, name: str) -> None:
    theirs = Repository(place / "home.git")
    theirs.push({"a": "1"})
    theirs.git("repack", "-adq")
    theirs.git("config", "core.logAllRefUpdates", "always")
    handler = RequestHandler(theirs)
    report = handler.head()
    target = place / "roots"
    target.mkdir(mode=0o700)
    if (theirs.folder / name).exists():
        for path in (theirs.folder / name).iterdir():
            path.rename(target / path.name)
        (theirs.folder / name).rmdir()
    kept = sorted(path.name for path in target.iterdir())
    (theirs.folder / name).symlink_to(target)
    give(theirs)
    os.chown(theirs.folder / name, OWNER, OWNER, follow_symlinks=False)
    os.chown(target, 0, 0)
    handler.writer.tell(report)
    assert sorted(path.name for path in target.iterdir()) == kept


@as_root
def test_who_owns_any_part_that_decides_counts_as_the_owner(place: Path) -> None:
    theirs = Repository(place / "home.git")
    assert foreign_owner(theirs.folder) is None
    for name in ("", "config", "objects"):
        os.chown(theirs.folder / name, OWNER, OWNER)
        assert foreign_owner(theirs.folder) == OWNER
        os.chown(theirs.folder / name, 0, 0)
    work = place / "work"
    subprocess.run(["git", "init", "-q", str(work)], env=ENVIRONMENT, check=True)
    os.chown(work / ".git/config", OWNER, OWNER)
    assert foreign_owner(work) == OWNER


def test_a_repository_that_is_named_starts_nothing_to_get_objects_that_it_lacks(place: Path) -> None:
    """A partial clone fetches on demand, from any address in its configuration, with any helper."""
    theirs = armed(place)
    sha = theirs.head()
    blob = theirs.git("rev-parse", f"{sha}:compose.yaml")
    theirs.git("config", "core.repositoryFormatVersion", "1")
    theirs.git("config", "extensions.partialClone", "origin")
    for key, value in {
        "remote.origin.url": f"ext::{trap(place, 'ext')}", "remote.origin.promisor": "true",
        "remote.origin.partialclonefilter": "blob:none", "protocol.ext.allow": "always",
    }.items():  # fmt: skip
        theirs.git("config", key, value)
    for pack in theirs.folder.glob("objects/pack/*.pack"):
        unpacked = pack.with_suffix(".was")
        pack.rename(unpacked)
        pack.with_suffix(".idx").unlink()
        theirs.git("unpack-objects", "-q", stdin=unpacked.read_bytes())
    (theirs.folder / "objects" / blob[:2] / blob[2:]).unlink()
    for path in (place / "marker").iterdir():
        path.unlink()
    with pytest.raises(ReconcilerError, match="cannot"):
        files_at(theirs.folder, sha, os.environ).read("compose.yaml")
    assert ran(place) == {}


@as_root
@pytest.mark.parametrize("wanted", [None, True], ids=["nothing said", "push: true"])
def test_notes_go_to_somebody_elses_repository_only_where_the_operator_says_so(
    place: Path, newest_compose: Path, wanted: bool | None
) -> None:
    theirs = armed(place)
    theirs.git("symbolic-ref", "HEAD", "refs/heads/main")
    sha = theirs.push({"compose.yaml": "services: {web: {image: 'web:1', privileged: true}}\n"})
    give(theirs)
    for path in (place / "marker").iterdir():
        path.unlink()
    state = place / "state"
    state.mkdir(mode=0o700)
    config = place / "agent.yaml"
    config.write_text(json.dumps({
        "host": "mini", "source": {"url": str(theirs.folder)}, "state": str(state), "compose": str(newest_compose),
        "engine": "unix:///nowhere.sock", "notes": {} if wanted is None else {"push": wanted},
    }))  # fmt: skip

    def run(*verb: str) -> dict[str, object]:
        command = [sys.executable, "-m", "reconciler", "--config", str(config), "--output", "json", *verb]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        found: dict[str, object] = json.loads(done.stdout)
        return found

    assert run("once")["outcome"] == "Rejected"
    status = run("status", "--no-engine")
    assert ran(place) == {}
    assert isinstance(status["report"], list)
    (channel,) = status["report"]
    os.chown(theirs.folder, 0, 0)
    (theirs.folder / "config").write_text("[core]\n\tbare = true\n")
    there = theirs.git("for-each-ref", "refs/notes")
    assert (bool(there), channel["pending"]) == (bool(wanted), 0)
    if wanted:
        assert shown(theirs, sha).startswith("mini failure")
        assert channel["error"] is None
    else:
        assert f"{theirs.folder} belongs to another user (uid {OWNER})" in channel["error"]


@pytest.mark.parametrize("shared", [True, False])
def test_new_folders_of_notes_are_the_groups_where_it_shares_the_repository(place: Path, shared: bool) -> None:
    """Git must not have to change their mode afterwards, which the agent's unit forbids."""
    theirs = Repository(place / "home.git")
    theirs.push({"compose.yaml": "services: {}\n"})
    for path in (theirs.folder, *theirs.folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o2770 if shared else 0o755)
    options = writing(parse_remote(str(theirs.folder)))
    theirs.git("push", "-q", *options, str(theirs.folder), "HEAD:refs/notes/reconciler/mini")
    made = (theirs.folder / "refs/notes/reconciler").stat().st_mode
    assert made & 0o7777 == (0o2775 if shared else 0o755)
