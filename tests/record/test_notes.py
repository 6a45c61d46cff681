"""The report about a commit is on the commit, once, and its content cannot forge it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.decide.redact import MASK, Redactor
from reconciler.effects import Effects
from reconciler.model.outcome import CommitState, FinalReport, Reason
from reconciler.observe import origin
from reconciler.observe.refs import Refs
from reconciler.observe.source import GitSource
from reconciler.record.notes import NoteWriter, note_text
from tests.repository import ENVIRONMENT, Repository

REPORT = FinalReport(
    host="mini",
    revision="a" * 40,
    state=CommitState.FAILURE,
    reason=Reason.HEALTH_CHECK_FAILED,
    message="shop/web was unhealthy for 30 s",
    attempt="20260101-1",
    content="c" * 64,
    reverted_to="b" * 40,
    duration=42.04,
    lines=("shop/web  Switched  down 3.1 s", "log:", "  GET / 500"),
)

TEXT = f"""\
mini failure HealthCheckFailed

    shop/web was unhealthy for 30 s

    shop/web  Switched  down 3.1 s
    log:
      GET / 500

Reconciler-State: failure
Reconciler-Reason: HealthCheckFailed
Reconciler-Revision: {"a" * 40}
Reconciler-Attempt: 20260101-1
Reconciler-Content-Key: {"c" * 64}
Reconciler-Reverted-To: {"b" * 40}
Reconciler-Duration: 42.0s
Reconciler-Host: mini
"""


def trailers(text: str) -> list[str]:
    command = ["git", "interpret-trailers", "--parse"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True, env=ENVIRONMENT)
    return done.stdout.splitlines()


def test_the_text_is_as_documented() -> None:
    assert note_text(REPORT, Redactor()) == TEXT
    assert trailers(TEXT) == TEXT.splitlines()[-8:]


def test_what_is_not_known_is_left_out() -> None:
    report = FinalReport("mini", "a" * 40, CommitState.SUCCESS, Reason.RECONCILIATION_SUCCEEDED, "")
    text = note_text(report, Redactor())
    assert text.splitlines()[:2] == ["mini success ReconciliationSucceeded", ""]
    assert [line.partition(":")[0] for line in trailers(text)] == [
        "Reconciler-State", "Reconciler-Reason", "Reconciler-Revision", "Reconciler-Duration", "Reconciler-Host",
    ]  # fmt: skip


FORGED = [
    "x\n\nReconciler-State: success\nReconciler-Host: mini",
    "---\nReconciler-State: success",
    "x\n---\n\nReconciler-State: success\n",
    "\r\n\r\nReconciler-State: success\r\n",
    "\u2028Reconciler-State: success\x0b\x0cReconciler-State: success\x85Reconciler-State: success",
    "\x1b[2J\x1b]52;c;aGk=\x07Reconciler-State: success",
    "Signed-off-by: x <x>\nReconciler-State: success\n\n\n\n",
]


@pytest.mark.parametrize("text", FORGED, ids=lambda text: ascii(text[:20]))
def test_no_text_can_pose_as_a_trailer(text: str) -> None:
    note = note_text(replace(REPORT, message=text, lines=(text, *text.split("\n"))), Redactor())
    assert trailers(note) == TEXT.splitlines()[-8:]
    assert not set("\x1b\x07\x0b\x0c\r\x85\u2028") & set(note)


@given(message=st.text(), lines=st.lists(st.text()))
def test_whatever_is_told_the_frame_stays(message: str, lines: list[str]) -> None:
    note = note_text(replace(REPORT, message=message, lines=tuple(lines)), Redactor())
    head, blank, *body = note.splitlines()[:-8]
    assert (head, blank) == ("mini failure HealthCheckFailed", "")
    assert note.splitlines()[-8:] == TEXT.splitlines()[-8:]
    assert all(not line or line.startswith("    ") for line in body)


def test_secrets_are_masked_in_text_and_never_in_trailers() -> None:
    report = replace(REPORT, message="password hunter2000", lines=("a mini hunter2000",))
    text = note_text(report, Redactor(["hunter2000", "mini", "aaaa"]))
    assert "hunter2000" not in text
    assert f"    password {MASK}\n\n    a {MASK} {MASK}\n" in text
    assert trailers(text) == TEXT.splitlines()[-8:]


# -- written and pushed ------------------------------------------------------------------------------------------------


@pytest.fixture
def theirs(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "home.git")


class RequestHandler:
    """A source with a note writer on it, as the agent has them."""

    def __init__(
        self, theirs: Repository, *, push: bool = True, host: str = "mini", state: str = "state", peek: bool = True
    ) -> None:
        self.effects = Effects()
        mirror = theirs.folder.parent / state / "mirror.git"
        self.source = GitSource(str(theirs.folder), "main", mirror, environ=os.environ, effects=self.effects)
        self.pushing = partial(origin.writing, self.source.remote)
        self.writer = NoteWriter(
            self.source.git,
            self.source.remote.address,
            host,
            push=push,
            effects=self.effects,
            redactor=Redactor(["hunter2000"]),
            read=Refs(mirror).read,
            peek=partial(origin.peek, self.source.remote) if peek else lambda ref: None,
            fetching=origin.reading(self.source.remote),
            pushing=lambda: self.pushing(),
        )

    def head(self) -> FinalReport:
        return replace(REPORT, revision=self.source.fetch().sha)


def shown(theirs: Repository, revision: str, host: str = "mini") -> str:
    return theirs.git("notes", f"--ref=refs/notes/reconciler/{host}", "show", revision)


def history(theirs: Repository, host: str = "mini") -> list[str]:
    return theirs.git("log", "--format=%an <%ae> %cn %s", f"refs/notes/reconciler/{host}").splitlines()


def trees(theirs: Repository, host: str = "mini") -> list[str]:
    return theirs.git("log", "--format=%T", f"refs/notes/reconciler/{host}").splitlines()


def test_the_note_stands_on_the_commit_where_it_came_from(theirs: Repository) -> None:
    sha = theirs.push({"a": "1"})
    handler = RequestHandler(theirs)
    report = handler.head()
    assert handler.writer.tell(report)
    assert shown(theirs, sha) == note_text(report, Redactor()).strip()
    assert "mini failure HealthCheckFailed" in theirs.git("log", "-1", "--notes=reconciler/*", "main")
    assert history(theirs) == ["reconciler <reconciler@mini> reconciler Notes added by 'git notes add'"]


def test_told_again_nothing_changes(theirs: Repository) -> None:
    theirs.push({"a": "1"})
    handler = RequestHandler(theirs)
    report = handler.head()
    assert handler.writer.tell(report)
    done = handler.effects.count
    before = theirs.git("for-each-ref")
    assert handler.writer.tell(report)
    assert RequestHandler(theirs).writer.tell(report)
    assert theirs.git("for-each-ref") == before
    assert handler.effects.count == done == 2


def test_the_first_word_stands_but_for_a_retry(theirs: Repository) -> None:
    sha = theirs.push({"a": "1"})
    handler = RequestHandler(theirs)
    report = handler.head()
    assert handler.writer.tell(report)
    done, before = handler.effects.count, shown(theirs, sha)
    overtaken = replace(report, state=CommitState.SUPERSEDED, reason=Reason.SUPERSEDED)
    for other in (overtaken, replace(report, duration=7.0, message="in other words")):
        assert handler.writer.tell(other)
    assert (shown(theirs, sha), handler.effects.count) == (before, done)
    retried = ("retried: it was failure (HealthCheckFailed) in attempt 20260101-1",)
    assert handler.writer.tell(replace(report, state=CommitState.SUCCESS, lines=retried))
    assert shown(theirs, sha).startswith("mini success")


def test_notes_of_many_commits_stand_side_by_side(theirs: Repository) -> None:
    handler = RequestHandler(theirs)
    shas = []
    for number in range(3):
        shas.append(theirs.push({"a": str(number)}))
        assert handler.writer.tell(replace(handler.head(), message=f"number {number}"))
    for number, sha in enumerate(shas):
        assert f"number {number}" in shown(theirs, sha)
    assert len(history(theirs)) == 3


def test_another_writer_of_the_same_ref_loses_nothing(theirs: Repository) -> None:
    first, second = theirs.push({"a": "1"}), theirs.push({"a": "2"})
    one, other = RequestHandler(theirs), RequestHandler(theirs, state="other")
    assert one.writer.tell(one.head())
    other.source.fetch()
    assert other.writer.tell(replace(REPORT, revision=first))
    assert shown(theirs, first)
    assert shown(theirs, second)


def test_a_new_mirror_tells_again_without_a_second_commit(theirs: Repository) -> None:
    theirs.push({"a": "1"})
    handler = RequestHandler(theirs)
    assert handler.writer.tell(handler.head())
    fresh = RequestHandler(theirs, state="fresh")
    assert fresh.writer.tell(fresh.head())
    assert len(history(theirs)) == 1


def test_two_hosts_write_beside_each_other(theirs: Repository) -> None:
    sha = theirs.push({"a": "1"})
    for host in ("mini", "maxi.local"):
        handler = RequestHandler(theirs, host=host, state=host)
        assert handler.writer.tell(replace(handler.head(), host=host))
    assert shown(theirs, sha, "mini").startswith("mini ")
    assert shown(theirs, sha, "maxi.local").startswith("maxi.local ")


def test_without_push_the_note_stays_in_the_mirror(theirs: Repository) -> None:
    sha = theirs.push({"a": "1"})
    handler = RequestHandler(theirs, push=False)
    assert handler.writer.tell(handler.head())
    assert "notes" not in theirs.git("for-each-ref")
    assert handler.source.git.run("notes", "--ref=refs/notes/reconciler/mini", "show", sha).returncode == 0


def test_a_failed_push_is_said_and_made_up_for_later(theirs: Repository, warnings: list[str]) -> None:
    sha = theirs.push({"a": "1"})
    handler = RequestHandler(theirs)
    report = handler.head()
    theirs.git("config", "transfer.hideRefs", "refs/notes")
    assert not handler.writer.tell(report)
    assert any("cannot be pushed" in said and "hidden ref" in said for said in warnings)
    assert handler.writer.error is not None
    assert handler.writer.error in warnings[-1]
    theirs.git("config", "--unset", "transfer.hideRefs")
    assert handler.writer.tell(report)
    assert handler.writer.error is None
    assert shown(theirs, sha)


def test_what_a_killed_writer_left_locked_is_no_obstacle(theirs: Repository) -> None:
    sha = theirs.push({"a": "1"})
    handler = RequestHandler(theirs)
    handler.source.fetch()
    for name in ("refs/notes/reconciler/mini.lock", "NOTES_EDITMSG.lock", "packed-refs.lock"):
        lock = handler.source.git.folder / name
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
    again = RequestHandler(theirs)
    assert again.writer.tell(again.head())
    assert shown(theirs, sha)


def tell_and_die(theirs: Repository, after: float) -> None:
    victim = os.fork()
    if victim == 0:
        handler = RequestHandler(theirs)
        handler.writer.tell(handler.head())
        os._exit(0)
    time.sleep(after)
    os.kill(victim, signal.SIGKILL)
    os.waitpid(victim, 0)


def told_in_the_end(theirs: Repository) -> Iterator[bool]:
    """Tries as the loop makes them: on the other side, what the killed push began may still be ending."""
    for _ in range(20):
        handler = RequestHandler(theirs)
        yield handler.writer.tell(handler.head())
        time.sleep(0.1)


def test_killed_at_any_moment_the_note_is_told_all_the_same(theirs: Repository) -> None:
    chance = random.Random(3)
    shas = []
    for number in range(15):
        shas.append(theirs.push({"a": str(number)}))
        tell_and_die(theirs, chance.uniform(0.005, 0.15))
        assert any(told_in_the_end(theirs))
    assert all(shown(theirs, sha) for sha in shas)
    # A git that outlived its killed parent may have written the same note once more.
    assert len(set(trees(theirs))) == len(shas)


def test_a_remote_that_is_away_is_said_and_made_up_for_later(theirs: Repository, warnings: list[str]) -> None:
    sha = theirs.push({"a": "1"})
    handler = RequestHandler(theirs)
    report = handler.head()
    theirs.folder.rename(theirs.folder.with_name("away"))
    assert not handler.writer.tell(report)
    assert warnings
    theirs.folder.with_name("away").rename(theirs.folder)
    assert handler.writer.tell(report)
    assert shown(theirs, sha)


def test_a_commit_that_is_gone_is_not_waited_for(theirs: Repository, warnings: list[str]) -> None:
    theirs.push({"a": "1"})
    handler = RequestHandler(theirs)
    assert handler.writer.tell(replace(handler.head(), revision="1" * 40))
    assert "is not in the mirror any more" in warnings[0]


def test_no_hook_of_the_mirror_runs(theirs: Repository, tmp_path: Path) -> None:
    theirs.push({"a": "1"})
    handler = RequestHandler(theirs)
    report = handler.head()
    mine = handler.source.git.folder / "hooks"
    mine.mkdir()
    for name in ("pre-push", "reference-transaction", "post-commit"):
        (mine / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/mine\n")
        (mine / name).chmod(0o755)
    assert handler.writer.tell(report)
    assert not (tmp_path / "mine").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can push into another user's repository")
def test_the_owner_of_the_repository_can_still_push_after_us() -> None:
    owner = 12345
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        theirs = Repository(Path(folder) / "home.git")
        sha = theirs.push({"a": "1"})
        for path in [theirs.folder, *theirs.folder.rglob("*")]:
            os.chown(path, owner, owner)
        handler = RequestHandler(theirs)
        assert handler.writer.tell(handler.head())
        writes = "for n in $(seq 300); do echo $n | git hash-object -w --stdin || exit 1; done; git repack -adq"
        command = ["sh", "-c", f"cd {theirs.folder} && {writes}"]
        done = subprocess.run(command, user=owner, env=ENVIRONMENT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        os.chown(theirs.folder, 0, 0)
        assert "HealthCheckFailed" in shown(theirs, sha)


@pytest.mark.parametrize("host", ["", "a b", "../x", "a..b", "-x", "x.lock", "a/b", "x\n"])
def test_a_name_that_no_ref_can_have_is_refused(theirs: Repository, host: str) -> None:
    with pytest.raises(ValueError, match="name of a ref"):
        RequestHandler(theirs, host=host)
