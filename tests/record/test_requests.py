"""Requests for the holder of the lock are read as they were left; other files are renamed and never trusted."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loguru import logger

from reconciler.effects import Effects
from reconciler.errors import Transient
from reconciler.model.requests import Request, RequestVerb
from reconciler.record.requests import AT_ONCE, KEPT, LARGEST, RequestBox

NAME = "20261121T150000.000000001Z-retry"
GOOD = {"verb": "retry", "revision": "abcd", "why": "", "until": None}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "requests"
    made.mkdir(mode=0o700)
    return made


def box(folder: Path) -> RequestBox:
    return RequestBox(folder, Effects())


def put(folder: Path, content: Any, name: str = NAME) -> Path:
    path = folder / f"{name}.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def test_what_is_left_is_read_in_its_order_until_it_is_removed(tmp_path: Path) -> None:
    there = box(tmp_path / "requests")
    assert there.waiting() == ()
    first = there.leave(RequestVerb.SUSPEND, why="a “reason”\n", until=1_800_000_000.5)
    second = there.leave(RequestVerb.RETRY, "main~2")
    assert there.waiting() == (
        Request(first, RequestVerb.SUSPEND, "", "a “reason”\n", 1_800_000_000.5),
        Request(second, RequestVerb.RETRY, "main~2"),
    )
    there.remove(there.waiting()[0])
    assert [item.id for item in there.waiting()] == [second]
    there.remove(there.waiting()[0])
    assert list((tmp_path / "requests").iterdir()) == []


def test_only_we_may_read_it(tmp_path: Path) -> None:
    name = box(tmp_path / "requests").leave(RequestVerb.RESUME)
    assert stat.S_IMODE((tmp_path / "requests").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "requests" / f"{name}.json").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 3000,
        [],
        {},
        GOOD | {"more": 1},
        GOOD | {"verb": "accept"},
        GOOD | {"verb": None},
        GOOD | {"verb": ["retry"]},
        GOOD | {"revision": None},
        GOOD | {"revision": "x" * 501},
        GOOD | {"why": 3},
        GOOD | {"until": "tomorrow"},
        GOOD | {"until": True},
        GOOD | {"until": -1},
        GOOD | {"until": 1e300},
        b'{"verb": "retry", "revision": "a", "why": "", "until": NaN}',
        json.dumps(GOOD).encode() + b" " * LARGEST,
    ],
    ids=range(19),
)
def test_what_is_no_request_is_put_aside_and_told_once(folder: Path, content: Any) -> None:
    told: list[str] = []
    sink = logger.add(lambda message: told.append(str(message)), level="WARNING")
    try:
        path, there = put(folder, content), box(folder)
        assert there.waiting() == there.waiting() == ()
    finally:
        logger.remove(sink)
    assert [item.name for item in folder.iterdir()] == [f"{NAME}.bad"]
    assert len(told) == 1
    assert str(path) in told[0]


@pytest.mark.parametrize("name", ["retry", "1-retry", f"{NAME}-retry", NAME.replace("retry", "delete"), "x" * 200])
def test_a_file_with_another_name_is_put_aside(folder: Path, name: str) -> None:
    put(folder, GOOD, name)
    assert box(folder).waiting() == ()
    assert [item.suffix for item in folder.iterdir()] == [".bad"]


def test_pipes_links_and_folders_neither_block_nor_lead_elsewhere(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text(json.dumps(GOOD))
    (folder / f"{NAME}.json").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(folder / f"{NAME.replace('001Z', '002Z')}.json")
    (folder / f"{NAME.replace('001Z', '003Z')}.json").mkdir()
    assert box(folder).waiting() == ()
    assert (tmp_path / "elsewhere").exists()


def test_drafts_and_other_files_are_not_looked_at(folder: Path) -> None:
    for name in (f".{NAME}.123", f"{NAME}.bad", "README"):
        (folder / name).write_text("x")
    assert box(folder).waiting() == ()
    assert len(list(folder.iterdir())) == 3


def test_what_was_no_request_is_kept_for_a_while_and_what_was_never_asked_is_not(folder: Path) -> None:
    there, (killed, new, note) = box(folder), (folder / name for name in (f".{NAME}.1", f".{NAME}.2", "README"))
    for path, age in ((killed, 3700.0), (new, 10.0), (note, 9e6)):
        path.write_text("x")
        os.utime(path, (time.time() - age,) * 2)
    for number in range(KEPT + 10):
        bad = put(folder, b"?", f"20261121T150000.{number:09}Z-retry")
        os.utime(bad, (number, number))
        assert there.waiting() == ()
    left = {item.name for item in folder.iterdir()}
    assert left == {new.name, note.name} | {f"20261121T150000.{n:09}Z-retry.bad" for n in range(10, KEPT + 10)}


def test_a_flood_is_read_bit_by_bit(folder: Path) -> None:
    for number in range(AT_ONCE + 10):
        put(folder, GOOD, f"20261121T150000.{number:09}Z-retry")
    assert len(box(folder).waiting()) == AT_ONCE


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "requests").write_text("a file")
    with pytest.raises(Transient, match="cannot write"):
        box(tmp_path / "requests").leave(RequestVerb.RESUME)
    assert box(tmp_path / "requests").waiting() == ()


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(st.binary(max_size=200), st.recursive(st.none() | st.booleans() | st.floats() | st.text(),
       lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(sorted(GOOD)), inner)).map(
       lambda value: json.dumps(value).encode())))  # fmt: skip
def test_no_content_breaks_the_reader(folder: Path, content: bytes) -> None:
    put(folder, content)
    for request in box(folder).waiting():
        assert request.verb is RequestVerb.RETRY
