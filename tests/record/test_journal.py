"""The journal: acknowledged records are there, torn ones are gone, damage is reported."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.decide.redact import MASK, Redactor
from reconciler.effects import Effects
from reconciler.errors import Corrupt, Transient
from reconciler.model.outcome import Outcome, Reason
from reconciler.record.journal import LONG, Journal, Record
from tests.kills import killed_at


def journal(path: Path, effects: Effects | None = None, *secrets: str) -> Journal:
    return Journal(path, effects or Effects(), Redactor(secrets).clean)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def kinds(ledger: Journal) -> list[str]:
    return [record["kind"] for record in ledger.records()]


def test_nothing_recorded_is_no_file(path: Path) -> None:
    assert journal(path).records() == ()
    assert not path.exists()


def test_a_record_is_one_line_as_documented(path: Path) -> None:
    journal(path).append("started", at=1.25, revision="abc", tries=2, outcome=Outcome.STARTED)
    assert path.read_text() == (
        '{"v":1,"kind":"started","at":"1970-01-01T00:00:01.250000Z","revision":"abc","tries":2,"outcome":"Started"}\n'
    )
    assert path.stat().st_mode & 0o777 == 0o600


def test_another_reader_sees_what_is_added_since(path: Path) -> None:
    writer, reader = journal(path), journal(path)
    writer.append("one", at=1)
    assert kinds(reader) == ["one"]
    writer.append("two", at=2)
    assert kinds(reader) == ["one", "two"]
    assert reader.records()[0] is reader.records()[0]


def test_a_replaced_journal_is_read_from_its_beginning(path: Path) -> None:
    ledger = journal(path)
    ledger.append("one", at=1)
    journal(path.with_suffix(".new")).append("other", at=2)
    path.with_suffix(".new").replace(path)
    assert kinds(ledger) == ["other"]
    path.unlink()
    assert kinds(ledger) == []


def test_each_record_is_an_effect(path: Path) -> None:
    effects = Effects()
    ledger = journal(path, effects)
    ledger.append("one", at=1)
    ledger.append("two", at=2)
    assert effects.count == 2


def test_texts_are_masked_and_identities_are_not(path: Path) -> None:
    ledger = journal(path, None, "shop", "hunter2000")
    failure = {"stack": "shop", "message": "shop: hunter2000", "log": ["a hunter2000", "\x1b[1mb"]}
    ledger.append("ended", at=1, stacks=["shop"], message="password hunter2000", failure=failure)
    record = ledger.records()[0]
    assert record["stacks"] == ["shop"]
    assert record["message"] == f"password {MASK}"
    assert record["failure"] == {"stack": "shop", "message": f"{MASK}: {MASK}", "log": [f"a {MASK}", "b"]}
    assert "hunter2000" not in path.read_text()


def test_a_name_that_is_not_utf8_reads_back_the_same(path: Path) -> None:
    ledger = journal(path)
    ledger.append("odd", at=1, service="\udcff")
    assert ledger.records()[0]["service"] == "\udcff"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=8,
)


@given(records=st.lists(st.dictionaries(st.sampled_from(["message", "detail", "x"]), values), max_size=5))
def test_what_is_appended_is_read(records: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    ledger = Journal(path, Effects(), lambda text: text)
    for number, fields in enumerate(records):
        ledger.append("any", at=number, **fields)
    again = Journal(path, Effects(), lambda text: text).records()
    assert again == ledger.records()
    assert [{key: record[key] for key in record if key not in ("v", "kind", "at")} for record in again] == records


def test_a_tail_torn_at_any_byte_is_dropped_and_overwritten(path: Path, warnings: list[str]) -> None:
    ledger = journal(path)
    ledger.append("one", at=1, message="ä")
    whole = path.read_bytes()
    ledger.append("two", at=2, message="ö" * 3)
    full = path.read_bytes()
    for end in range(len(whole) + 1, len(full)):
        path.write_bytes(full[:end])
        del warnings[:]
        torn = journal(path)
        assert kinds(torn) == ["one"]
        torn.records()
        assert warnings == [f"journal: the torn last line is dropped, {end - len(whole)} bytes\n"]
        assert path.stat().st_size == end, "a reader changes nothing"
        torn.append("three", at=3)
        assert kinds(journal(path)) == ["one", "three"]


def test_a_last_line_of_zeros_is_a_torn_one(path: Path, warnings: list[str]) -> None:
    ledger = journal(path)
    ledger.append("one", at=1)
    with path.open("ab") as file:
        file.write(b"\0" * 4096 + b'"}\n')
    ledger = journal(path)
    assert kinds(ledger) == ["one"]
    assert len(warnings) == 1
    ledger.append("two", at=2)
    assert kinds(journal(path)) == ["one", "two"]


@pytest.mark.parametrize(
    "line",
    [b"", b"{}", b"[]", b"null", b"{", b"\xff", b'{"v":1}', b'{"v":1,"kind":3,"at":"2026-01-01T00:00:00Z"}',
     b'{"v":1,"kind":"x","at":"then"}', b'{"v":1,"kind":"x","at":null}', b'{"v":"1","kind":"x","at":"2026-01-01"}',
     b"[" * 100_000],
    ids=lambda line: line[:30].decode(errors="replace"),
)  # fmt: skip
@pytest.mark.parametrize("last", [False, True])
def test_a_broken_line_is_corrupt_with_its_number(path: Path, line: bytes, last: bool) -> None:
    ledger = journal(path)
    ledger.append("one", at=1)
    good = path.read_bytes()
    path.write_bytes(good + line + b"\n" + (b"" if last else good))
    with pytest.raises(Corrupt) as caught:
        journal(path).records()
    assert caught.value.exit_code == 4
    assert caught.value.message == f"{path}:2:1: the record cannot be read"
    assert "fix or delete that line" in caught.value.hint


def test_nothing_is_appended_to_a_broken_journal(path: Path) -> None:
    path.write_bytes(b"broken\n")
    effects = Effects()
    with pytest.raises(Corrupt):
        journal(path, effects).append("one", at=1)
    assert path.read_bytes() == b"broken\n"
    assert effects.count == 0


def test_a_newer_versions_record_is_not_guessed_at(path: Path) -> None:
    path.write_bytes(b'{"v":2,"kind":"x","at":"2026-01-01T00:00:00Z"}\n')
    with pytest.raises(Corrupt, match=r":1:1: the record was written by a newer version \(2\)") as caught:
        journal(path).records()
    assert "install that version" in caught.value.hint


def test_a_field_cannot_pose_as_the_version(path: Path) -> None:
    ledger = journal(path)
    ledger.append("one", at=1, v=9)
    assert ledger.records()[0]["v"] == 1


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """The kernel refuses to let files grow beyond `size`: as on a full disk, part of a write may succeed."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_refusing_disk_leaves_nothing_half_written(path: Path) -> None:
    ledger = journal(path)
    ledger.append("one", at=1)
    size = path.stat().st_size
    for room in (0, 1, 20, 60):
        with file_size_limit(size + room), pytest.raises(Transient) as caught:
            ledger.append("two", at=2, message="x" * 100)
        assert caught.value.reason is Reason.DISK_FAILED
        assert os.strerror(errno.EFBIG) in caught.value.message
        assert path.stat().st_size == size
    ledger.append("three", at=3)
    assert kinds(journal(path)) == ["one", "three"]


def append_until_killed(path: Path, acknowledge: int, seed: int) -> None:
    ledger = journal(path)
    chance = random.Random(seed)
    while True:
        number = len(ledger.records())
        ledger.append("n", at=number, number=number, message="x" * chance.randrange(1, 9000))
        os.write(acknowledge, b"%d\n" % number)


def kill_while_appending(path: Path, seed: int) -> int:
    """Number of records that the victim was told are safe."""
    receive, send = os.pipe()
    victim = os.fork()
    if victim == 0:
        append_until_killed(path, send, seed)
    os.close(send)
    time.sleep(random.Random(seed).uniform(0.001, 0.02))
    os.kill(victim, signal.SIGKILL)
    os.waitpid(victim, 0)
    with os.fdopen(receive, "rb") as stream:
        return int((stream.read().split() or [b"-1"])[-1]) + 1


def test_killed_at_any_moment_it_is_readable_and_nothing_acknowledged_is_lost(path: Path) -> None:
    safe = 0
    for seed in range(600):
        safe = max(safe, kill_while_appending(path, seed))
        numbers = [record["number"] for record in journal(path).records()]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= safe
        if seed >= 60 and safe >= 60:
            break
    assert safe >= 60, "the kills came too early to prove anything"


# -- growing long ------------------------------------------------------------------------------------------------------


def long(path: Path) -> Journal:
    """A journal that is long enough to be shortened, with 40 long records and a short one."""
    journal(path).append("short", at=41, text="ümläut")
    record = json.dumps({"v": 1, "kind": "long", "at": "2026-01-01T00:00:00Z", "text": "x" * (LONG // 40)})
    path.write_text(f"{record}\n" * 40 + path.read_text())
    return journal(path)


def last(records: Sequence[Record]) -> Sequence[Record]:
    return records[-1:]


def test_a_short_journal_is_left_alone(path: Path) -> None:
    ledger = journal(path)
    ledger.append("one", at=1)
    before = path.read_bytes()
    assert not ledger.shorten(last)
    assert path.read_bytes() == before


def test_a_long_one_is_shortened_where_it_helps(path: Path) -> None:
    ledger = long(path)
    assert ledger.shorten(last)
    assert path.read_text().count("\n") == 1
    assert path.stat().st_mode & 0o777 == 0o600
    assert [record["text"] for record in ledger.records()] == ["ümläut"]
    ledger.append("two", at=50)
    assert kinds(ledger) == kinds(journal(path)) == ["short", "two"]
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_what_could_not_be_halved_is_left_alone_until_it_has_grown(path: Path) -> None:
    ledger, asked = long(path), []

    def most(records: Sequence[Record]) -> Sequence[Record]:
        asked.append(len(records))
        return records[:30]

    assert not ledger.shorten(most)
    assert not ledger.shorten(most)
    assert asked == [41], "each try takes as long as the journal"
    with path.open("a") as file:
        file.writelines(path.read_text().splitlines(keepends=True)[:25])
    assert ledger.shorten(most)
    assert asked == [41, 66]
    assert journal(path).records() == ledger.records()


def test_what_stays_of_a_long_one_is_whole(path: Path) -> None:
    ledger = long(path)
    assert ledger.shorten(lambda records: records[-3:])
    assert kinds(journal(path)) == kinds(ledger) == ["long", "long", "short"]
    assert journal(path).records() == ledger.records()


def test_another_reader_follows(path: Path) -> None:
    ledger = long(path)
    reader = journal(path)
    assert len(reader.records()) == 41
    ledger.shorten(last)
    assert kinds(reader) == ["short"]


SHORTENED = """
from pathlib import Path
from tests.record.test_journal import journal, last
def act(path: Path) -> None:
    journal(path).shorten(last)
"""


def test_a_kill_while_shortening_leaves_the_old_or_the_new(path: Path) -> None:
    long(path)
    old, new = ("long",) * 40 + ("short",), ("short",)
    seen = []
    for step in range(1, 20):
        events = ("open", "os.remove", "os.rename", "os.fchmod")
        code = killed_at(step, events, SHORTENED, path, str(path))
        seen.append(tuple(kinds(journal(path))))
        if code == 0:
            break
    assert seen[-1] == new
    assert set(seen) == {old, new}
    assert len(seen) > 4


def test_a_full_disk_changes_nothing(path: Path) -> None:
    ledger = long(path)
    (path.parent / f"{path.name}.new").mkdir()
    with pytest.raises(Transient, match="cannot write"):
        ledger.shorten(last)
    assert len(ledger.records()) == 41


def test_the_name_of_an_image_is_masked_and_what_we_call_images_by_is_not(path: Path) -> None:
    ledger = journal(path, None, "hunter2000", "webshop")
    own = ("sha256:" + "a" * 64, "reconciler/webshop-web:0123")
    for name in ("registry.example.org/hunter2000/web:1", *own):
        ledger.append("fetched", at=0.0, revision="a" * 40, image=name, names=[name])
    assert "hunter2000" not in path.read_text()
    assert tuple(record["image"] for record in ledger.records()[1:]) == own
