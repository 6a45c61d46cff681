"""Whoever can push can write notes, too. In the end all of our notes are there, and no foreign note was believed."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from reconciler.decide.redact import Redactor
from reconciler.errors import Transient
from reconciler.model.outcome import FinalReport
from reconciler.record import notes
from reconciler.record.notes import TRIES, note_text
from tests.record.test_notes import REPORT, RequestHandler, shown
from tests.repository import ENVIRONMENT, Repository

REF = "refs/notes/reconciler/mini"
FORGED = "mini success ReconciliationSucceeded\n\nReconciler-State: success\n"


class Attacker:
    """A pusher who writes where the agent writes."""

    def __init__(self, theirs: Repository) -> None:
        self.theirs = theirs

    def forge(self, *commits: str) -> str:
        """A notes ref of their own, with these notes and nothing else."""
        self.theirs.git("update-ref", "-d", REF)
        for sha in commits:
            self.theirs.git("notes", f"--ref={REF}", "add", "-m", FORGED, sha)
        return self.theirs.git("rev-parse", REF)

    def point(self, kind: str) -> None:
        """The ref at something that holds no notes."""
        odd = {
            "blob": lambda: self.theirs.blob("no notes"),
            "tree": lambda: self.theirs.tree({"a/b": "no notes"}),
            "tag": lambda: self.theirs.git("rev-parse", self._tag()),
            "commit": lambda: self.theirs.commit_tree(self.theirs.tree({"a" * 40: "x", "zz/y": "x"})),
            "the branch": self.theirs.head,
        }
        self.theirs.git("update-ref", "--no-deref", REF, odd[kind]())

    def _tag(self) -> str:
        self.theirs.git("tag", "-f", "-a", "-m", "x", "odd", self.theirs.blob("x"))
        return "odd"


@pytest.fixture
def theirs(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "home.git")


@pytest.fixture(params=[True, False], ids=["by path", "as from another machine"])
def peek(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def ours(report: FinalReport) -> str:
    return note_text(report, Redactor()).strip()


def stands(theirs: Repository, *reports: FinalReport) -> bool:
    return all(shown(theirs, report.revision) == ours(report) for report in reports)


def several(theirs: Repository, handler: RequestHandler, count: int = 3) -> list[FinalReport]:
    reports = []
    for number in range(count):
        theirs.push({"a": str(number)})
        reports.append(replace(handler.head(), message=f"number {number}"))
        assert handler.writer.tell(reports[-1])
    return reports


def test_a_note_that_was_there_before_ours_is_not_believed(theirs: Repository, peek: bool) -> None:
    other, sha = theirs.push({"a": "1"}), theirs.push({"a": "2"})
    Attacker(theirs).forge(sha, other)
    handler = RequestHandler(theirs, peek=peek)
    report = handler.head()
    assert handler.writer.tell(report)
    assert stands(theirs, report)
    assert shown(theirs, other) == FORGED.strip(), "what the journal says nothing of is left as it was found"


def test_a_note_forged_for_a_commit_that_is_still_to_come_is_not_believed(theirs: Repository, peek: bool) -> None:
    first, second = theirs.push({"a": "1"}), theirs.push({"a": "2"})
    Attacker(theirs).forge(first, second)
    handler = RequestHandler(theirs, peek=peek)
    reports = [replace(handler.head(), revision=sha) for sha in (first, second)]
    for report in reports:
        assert handler.writer.tell(report)
    assert stands(theirs, *reports)


def test_what_was_changed_after_us_is_put_right_with_the_next_note(theirs: Repository, peek: bool) -> None:
    handler = RequestHandler(theirs, peek=peek)
    reports = several(theirs, handler)
    Attacker(theirs).forge(reports[0].revision)
    theirs.push({"a": "new"})
    reports.append(handler.head())
    assert handler.writer.tell(reports[-1])
    assert stands(theirs, *reports)


@pytest.mark.parametrize("kind", ["blob", "tree", "tag", "commit", "the branch"])
def test_whatever_the_ref_points_to_gives_way(theirs: Repository, kind: str, peek: bool) -> None:
    theirs.push({"a": "1"})
    Attacker(theirs).point(kind)
    handler = RequestHandler(theirs, peek=peek)
    report = handler.head()
    assert handler.writer.tell(report)
    assert stands(theirs, report)
    Attacker(theirs).point(kind)
    again = RequestHandler(theirs, peek=peek)
    again.source.fetch()
    again.writer.keep(lambda: [report])
    assert stands(theirs, report)


@pytest.mark.parametrize("name", ["refs/notes/reconciler", f"{REF}/sub", f"{REF}/a/b"])
def test_a_ref_in_the_way_of_ours_goes(theirs: Repository, name: str, peek: bool) -> None:
    handler = RequestHandler(theirs, peek=peek)
    reports = several(theirs, handler, 2)
    theirs.git("update-ref", "-d", REF)
    theirs.git("update-ref", name, theirs.head())
    for host in ("maxi", "minimum"):
        if "reconciler/" in name:
            theirs.git("update-ref", f"refs/notes/reconciler/{host}", theirs.head())
    fresh = RequestHandler(theirs, state="fresh", peek=peek)
    fresh.source.fetch()
    fresh.writer.keep(lambda: reports)
    assert stands(theirs, *reports)
    assert len(theirs.git("for-each-ref", "refs/notes").splitlines()) == (3 if "reconciler/" in name else 1)


def test_a_ref_that_stands_for_the_branch_is_left_and_told_of(theirs: Repository) -> None:
    sha = theirs.push({"a": "1"})
    theirs.git("symbolic-ref", REF, "refs/heads/main")
    handler = RequestHandler(theirs)
    assert not handler.writer.tell(handler.head())
    assert theirs.head() == sha
    assert handler.writer.error is not None
    assert "stands for refs/heads/main" in handler.writer.error
    theirs.git("symbolic-ref", "--delete", REF)
    assert handler.writer.tell(handler.head())


def test_a_look_without_news_finds_what_was_changed_or_deleted(theirs: Repository) -> None:
    handler = RequestHandler(theirs)
    reports = several(theirs, handler)
    quiet = handler.effects.count
    for change in (
        lambda: Attacker(theirs).forge(reports[0].revision),
        lambda: theirs.git("update-ref", "-d", REF),
        lambda: theirs.git("pack-refs", "--all"),
    ):
        change()
        handler.writer.keep(list)
        assert stands(theirs, *reports)
    assert handler.effects.count == quiet + 2, "packed refs are no change"


def test_a_mirror_that_was_made_anew_tells_all_of_the_journal_over_what_was_forged(theirs: Repository) -> None:
    reports = several(theirs, RequestHandler(theirs))
    foreign = theirs.push({"a": "another"})
    Attacker(theirs).forge(*(report.revision for report in reports), foreign)
    fresh = RequestHandler(theirs, state="fresh")
    fresh.source.fetch()
    fresh.writer.keep(lambda: reports)
    assert stands(theirs, *reports)
    assert shown(theirs, foreign) == FORGED.strip()


def test_a_new_mirror_waits_for_the_remote_before_it_tells_all_of_the_journal(theirs: Repository) -> None:
    reports = several(theirs, RequestHandler(theirs))
    Attacker(theirs).forge(*(report.revision for report in reports))
    fresh = RequestHandler(theirs, state="fresh")
    theirs.folder.rename(theirs.folder.with_name("away"))
    with pytest.raises(Transient):
        fresh.source.fetch()
    fresh.writer.keep(lambda: reports)
    theirs.folder.with_name("away").rename(theirs.folder)
    fresh.source.fetch()
    fresh.writer.keep(lambda: reports)
    assert stands(theirs, *reports)
    quiet = fresh.effects.count
    fresh.writer.keep(list)
    assert fresh.effects.count == quiet


def test_somebody_who_writes_each_time_we_do_costs_few_tries_and_is_told_of(theirs: Repository, peek: bool) -> None:
    sha = theirs.push({"a": "1"})
    attacker = Attacker(theirs)
    moved: list[object] = []
    handler = RequestHandler(theirs, peek=peek)
    report = handler.head()
    honest = handler.pushing

    def interfere() -> tuple[str, ...]:
        moved.append(attacker.forge(sha) if len(moved) % 2 else attacker.point("blob"))
        return honest()

    handler.pushing = partial(interfere)
    assert not handler.writer.tell(report)
    assert len(moved) == TRIES
    assert handler.writer.error is not None
    assert "another program changes refs/notes/reconciler/mini in the remote each time" in handler.writer.error
    handler.pushing = honest
    assert handler.writer.tell(report)
    assert (stands(theirs, report), handler.writer.error) == (True, None)


def huge(theirs: Repository) -> None:
    tree = theirs.tree({"a" * 40: bytes(range(256)) * 4096})
    theirs.git("update-ref", REF, theirs.commit_tree(tree))


def bomb(theirs: Repository) -> None:
    """Folders of folders, as notes have them: 256 to the power of 10 notes in a few objects."""
    tree = theirs.raw_tree([("100644", "blob", theirs.blob("x"), b"a" * 20)])
    for _ in range(10):
        tree = theirs.raw_tree([("040000", "tree", tree, f"{n:02x}".encode()) for n in range(256)])
    theirs.git("update-ref", REF, theirs.commit_tree(tree))


@pytest.mark.parametrize("make", [huge, bomb])
def test_more_than_can_be_read_gives_way(
    theirs: Repository, make: Callable[[Repository], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notes, "LARGEST", 1 << 10)
    monkeypatch.setattr(notes, "_LIST_TIMEOUT", 1.0)
    theirs.push({"a": "1"})
    make(theirs)
    handler = RequestHandler(theirs)
    report = handler.head()
    assert handler.writer.tell(report)
    assert stands(theirs, report)


def test_git_reads_all_of_it_as_notes(theirs: Repository) -> None:
    """Written by another of git's programs than `git notes`, for a thousand commits at once."""
    base = theirs.push({"a": "0"})
    chain = b"".join(
        b"commit refs/heads/main\ncommitter A <a@b.c> %d +0000\ndata 1\nx\n%s"
        % (1767225600 + n, f"from {base}\n".encode() if n == 0 else b"")
        for n in range(1000)
    )
    theirs.git("fast-import", "--quiet", stdin=chain)
    shas = theirs.git("rev-list", "main").splitlines()
    handler = RequestHandler(theirs)
    handler.source.fetch()
    reports = [replace(REPORT, revision=sha, message=sha) for sha in shas]
    handler.writer.keep(lambda: reports)
    log = subprocess.run(
        ["git", "log", "--format=%H %N", f"--notes={REF}", "main"], cwd=theirs.folder, env=ENVIRONMENT, text=True,
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert log.count("mini failure HealthCheckFailed") == len(shas)
    assert "fsck" not in theirs.git("fsck", "--no-dangling")
    assert stands(theirs, reports[0], reports[-1])
