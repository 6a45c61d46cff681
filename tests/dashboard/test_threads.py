"""The threads behind the screen."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reconciler import __version__
from reconciler.dashboard.threads import BEFOREHAND, KEPT, Follow, Job, Newest
from reconciler.errors import Transient
from reconciler.model.outcome import Reason
from reconciler.monitor.snapshot import Json
from reconciler.waiting import attend
from reconciler.wiring.dashboard import _first
from tests.dashboard.conftest import log_row


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_first_snapshot_is_empty_while_a_file_of_the_agent_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.wiring.dashboard.holder", lambda state: 1)
    parts: Any = SimpleNamespace(
        state=tmp_path, settings=SimpleNamespace(host="mini", source=SimpleNamespace(interval=30.0))
    )
    published = {"kind": "Status", "agent": {"version": __version__}}
    for document in ({}, {"kind": "Status", "agent": None}, published):
        (tmp_path / "status.json").write_text(json.dumps(document))
        assert _first(parts).status is None
    (tmp_path / "turn.json").write_text("{}")
    assert _first(parts).status == published


def test_each_line_is_shown_once_and_late_ones_are_not_lost() -> None:
    there: list[Json] = []
    asked: list[float | None] = []

    def read(since: float | None) -> Sequence[Json]:
        asked.append(since)
        return sorted(there, key=itemgetter("time"))

    newest = Newest(read)
    newest.look()
    assert len(newest.lines) == 0
    there += [log_row("a", "web", 20), log_row("b", "db", 25)]
    newest.look()
    there += [log_row("late", "web", 22), log_row("c", "db", 26)]
    newest.look()
    newest.look()
    assert [row["line"] for row in newest.lines] == ["a", "b", "late", "c"]
    assert asked[:2] == [None, None]
    assert asked[2] is not None
    assert asked[2] < 1_700_000_000 + 22


def test_lines_are_bounded_and_an_error_is_shown_until_the_next_good_look() -> None:
    rows = [log_row(str(n), container=str(n)) for n in range(3 * KEPT)]
    away = Transient(Reason.ENGINE_UNAVAILABLE, "no engine", "")
    answers: list[Sequence[Json] | Exception] = [away, rows, ValueError("broken"), []]

    def read(since: float | None) -> Sequence[Json]:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    newest = Newest(read)
    told = []
    for _ in range(4):
        newest.look()
        told.append(newest.error)
    assert told == ["no engine", None, "the log cannot be read", None]
    assert [row["line"] for row in newest.lines] == [str(n) for n in range(2 * KEPT, 3 * KEPT)]


def test_reader_of_a_log_waits_until_lines_are_taken_and_ends_when_closed() -> None:
    ended = threading.Event()
    given = 0

    def read() -> Iterator[Sequence[Json]]:
        nonlocal given
        try:
            while True:
                given += 500
                yield [log_row("x")] * 500
        finally:
            ended.set()

    follow = Follow(read)
    until(lambda: given > BEFOREHAND)
    time.sleep(0.3)
    assert given <= BEFOREHAND + 1000
    assert len(follow.take()) >= BEFOREHAND
    until(lambda: given > BEFOREHAND + 1000)
    follow.close()
    assert ended.wait(20)


def test_error_of_a_followed_log_is_kept_for_the_screen() -> None:
    def read() -> Iterator[Sequence[Json]]:
        yield [log_row("x")]
        raise Transient(Reason.ENGINE_UNAVAILABLE, "no engine", "start it")

    follow = Follow(read)
    until(lambda: follow.error is not None)
    assert follow.error == "no engine. start it"
    assert len(follow.take()) == 1


def test_a_dropped_job_ends_its_work() -> None:
    ended = threading.Event()

    def work() -> Json:
        try:
            while True:
                attend()
                time.sleep(0.01)
        finally:
            ended.set()

    job = Job(work)
    assert not job.done
    job.drop()
    assert ended.wait(20)
    assert (job.document, job.error) == (None, None)
