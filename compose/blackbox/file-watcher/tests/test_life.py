"""Whatever happens to files, watcher or brain-api: in the end brain-api has the content of the files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from brain_over_http import Api
from conftest import Life
from watcher.state import State


def test_new_changed_moved_and_deleted_files_reach_brain_api(life: Life, api: Api) -> None:
    kept, changed, moved, deleted = (life.write(f"{name}.md", name) for name in ("kept", "changed", "moved", "deleted"))
    life.settle()
    assert api.contents == {f"notes/{name}.md": name for name in ("kept", "changed", "moved", "deleted")}
    changed.write_text("other")
    moved.rename(life.root / "elsewhere.md")
    deleted.unlink()
    life.settle()
    assert api.contents == {"notes/kept.md": "kept", "notes/changed.md": "other", "notes/elsewhere.md": "moved"}
    assert life.pending == 0
    before = len(api.requests)
    life.settle()
    assert len(api.requests) == before
    assert kept.exists()


def test_a_moved_file_is_found_at_any_time(life: Life, api: Api) -> None:
    path = life.write("old.md", "text")
    life.settle()
    path.rename(life.root / "new.md")
    api.requests.clear()
    life.settle()
    assert api.requests == ["POST /api/v1/artifacts/batch", "DELETE /api/v1/artifacts"]


def test_changes_while_the_watcher_was_down_are_sent(life: Life, api: Api) -> None:
    life.write("a.md", "a")
    gone = life.write("b.md", "b")
    life.settle()
    gone.unlink()
    life.write("a.md", "A")
    life.write("deep/er/c.md", "c")
    life.restart()
    life.settle()
    assert api.contents == {"notes/a.md": "A", "notes/deep/er/c.md": "c"}


def test_a_restart_sends_nothing_again(life: Life, api: Api) -> None:
    for number in range(120):
        life.write(f"{number}.md", str(number))
    life.settle()
    assert api.requests.count("POST /api/v1/artifacts/batch") == 3
    api.requests.clear()
    life.restart()
    life.settle()
    assert set(api.requests) == {"GET /api/v1/artifacts"}


def test_a_file_that_was_only_touched_is_not_sent(life: Life, api: Api) -> None:
    path = life.write("a.md", "a")
    life.settle()
    api.requests.clear()
    path.touch()
    life.settle()
    assert (api.requests, life.pending) == ([], 0)


def test_a_full_disk_of_its_own_state_does_not_end_the_watcher(life: Life, api: Api) -> None:
    gone = life.write("gone.md", "gone")
    life.settle()
    database = life.state._database
    database.execute("PRAGMA max_page_count = 1")  # the database cannot grow
    gone.unlink()
    texts = {f"{number}-{'x' * 100}.md": str(number) for number in range(100)}
    for name, text in texts.items():
        life.write(name, text)
    life.settle()
    assert life.pending > 0
    assert life.measured.gauges["watcher_brain_up"] == 1
    database.execute("PRAGMA max_page_count = 1000000")
    life.settle()
    assert (life.pending, api.contents) == (0, {f"notes/{name}": text for name, text in texts.items()})


def test_changes_while_brain_api_is_away_are_sent_afterwards(life: Life, api: Api) -> None:
    life.write("a.md", "a")
    deleted = life.write("b.md", "b")
    life.settle()
    api.stop()
    life.write("a.md", "A")
    life.write("c.md", "c")
    deleted.unlink()
    for _ in range(5):
        life.turn(20)
    assert life.pending == 3
    assert life.measured.gauges["watcher_brain_up"] == 0
    assert life.measured.problem() == ""
    life.write("a.md", "A2")
    life.restart()
    life.turn(5)
    api.start()
    life.settle()
    assert api.contents == {"notes/a.md": "A2", "notes/c.md": "c"}
    assert (life.pending, life.measured.gauges["watcher_brain_up"]) == (0, 1)


def test_the_watcher_waits_as_long_as_brain_api_asks_for(life: Life, api: Api) -> None:
    life.write("a.md", "a")
    life.turn()
    api.failing = (429, {"Retry-After": "40"})
    assert life.turn(3) == pytest.approx(30)
    api.failing = None
    asked = len(api.requests)
    life.turn(30)
    assert len(api.requests) == asked
    life.turn(11)
    life.turn(3)
    assert api.contents == {"notes/a.md": "a"}


def test_tries_after_failures_have_growing_pauses(life: Life, api: Api) -> None:
    api.failing = (500, {})
    life.write("a.md", "a")
    for _ in range(3600):
        life.turn(1)
    assert 60 <= len(api.requests) <= 100
    api.failing = None
    life.turn(61)
    life.turn(3)
    assert api.contents == {"notes/a.md": "a"}


def test_an_answer_that_never_came_does_no_harm(life: Life, api: Api) -> None:
    life.write("a.md", "a")
    api.forget_answers = 1
    life.turn()
    life.turn(3)
    assert (api.contents, dict(life.state.known)) == ({"notes/a.md": "a"}, {})
    (life.root / "a.md").rename(life.root / "b.md")
    life.settle()
    assert api.contents == {"notes/b.md": "a"}


def test_a_damaged_state_is_rebuilt_from_brain_api(life: Life, api: Api) -> None:
    gone = life.write("gone.md", "gone")
    life.write("a.md", "a")
    life.settle()
    gone.unlink()
    (life.settings.state / "files.sqlite").write_bytes(b"not a database, and longer than its header is" * 50)
    life.restart()
    life.settle()
    assert api.contents == {"notes/a.md": "a"}
    assert set(life.state.known) == {"notes/a.md"}


def test_artifacts_that_brain_api_has_lost_are_sent_again(life: Life, api: Api) -> None:
    life.write("a.md", "a")
    life.write("large.md", "line\n" * 300_000)
    life.settle()
    assert set(api.items) == {"notes/a.md", "notes/large.md", "notes/large.md/#2"}
    api.items.pop("notes/a.md")
    api.items.pop("notes/large.md")
    life.restart()
    life.settle()
    assert set(api.items) == {"notes/a.md", "notes/large.md", "notes/large.md/#2"}


def test_old_content_in_brain_api_is_replaced(life: Life, api: Api) -> None:
    life.write("a.md", "older")
    life.write("large.md", "line\n" * 300_000)
    binary = life.write("binary.md", "once a text")
    life.settle()
    backup = dict(api.items)
    life.write("a.md", "newer")
    life.write("large.md", "short")
    life.write("new.md", "new")
    binary.write_bytes(b"\0")
    life.settle()
    newer = api.contents
    assert newer == {"notes/a.md": "newer", "notes/large.md": "short", "notes/new.md": "new"}
    api.items = backup
    life.restart()
    life.settle()
    assert (api.contents, life.pending) == (newer, 0)
    api.requests.clear()
    life.restart()
    life.settle()
    assert set(api.requests) == {"GET /api/v1/artifacts"}


@pytest.mark.parametrize("metadata", [{}, {"file": 7, "part": "1"}, {"file": "notes/b.md", "part": 1}, {"part": 0}])
def test_metadata_that_others_changed_is_corrected(life: Life, api: Api, metadata: dict[str, object]) -> None:
    life.write("a.md", "a")
    gone = life.write("gone.md", "gone")
    life.settle()
    made = dict(api.items)
    for path in api.items:
        api.items[path] = {**api.items[path], "metadata": metadata}
    api.items["by-hand"] = {**made["notes/a.md"], "path": "by-hand", "metadata": metadata}
    gone.unlink()
    life.restart()
    life.settle()
    assert api.items["notes/a.md"] == made["notes/a.md"]
    assert set(api.items) == {"notes/a.md", "by-hand"}


def test_artifacts_of_others_in_brain_api_stay(life: Life, api: Api) -> None:
    api.items["notes/by-hand"] = {"path": "notes/by-hand", "kind": "document", "tags": [], "content": "mine"}
    life.settle()
    assert api.contents == {"notes/by-hand": "mine"}


def test_a_large_file_is_cut_and_its_later_parts_go_when_it_shrinks(life: Life, api: Api) -> None:
    text = "".join(f"line {number}\n" for number in range(150_000))
    life.write("log.md", text)
    life.settle()
    assert list(api.items) == ["notes/log.md", "notes/log.md/#2"]
    assert "".join(api.contents.values()) == text
    assert all(len(part) <= 1_000_000 for part in api.contents.values())
    life.write("log.md", "short")
    life.settle()
    assert api.contents == {"notes/log.md": "short"}


def test_a_refused_file_blocks_no_other_and_is_tried_again_when_it_changes(life: Life, api: Api) -> None:
    api.refused = "bad"
    for number in range(20):
        life.write(f"{number}.md", "bad" if number in (3, 11) else "good")
    life.settle()
    assert len(api.items) == 18
    assert (life.pending, life.measured.skipped) == (0, {"refused": 2})
    life.write("3.md", "good now")
    life.settle()
    assert api.contents["notes/3.md"] == "good now"


def test_a_wrong_key_is_reported_and_nothing_is_lost(life: Life, api: Api) -> None:
    life.write("a.md", "a")
    life.restart(key="wrong")
    life.settle()
    assert "401" in life.measured.problem()
    life.restart()
    life.settle()
    assert (life.measured.problem(), api.contents) == ("", {"notes/a.md": "a"})


def test_a_file_that_is_no_text_any_more_is_removed(life: Life, api: Api) -> None:
    life.write("a.md", "a")
    life.write("b.md", "b")
    life.write("latin1.md", b"\xff\xfe no UTF-8")
    life.settle()
    life.write("a.md", b"\x00\x01\x02")
    life.write("b.md", "x" * (life.settings.largest + 1))
    life.settle()
    assert api.contents == {}
    assert life.measured.skipped == {"binary": 1, "not UTF-8": 1, "too large": 1}


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_files_of_an_unreadable_folder_stay_in_brain_api(life: Life, api: Api) -> None:
    life.write("folder/a.md", "a")
    life.settle()
    (life.root / "folder").chmod(0)
    life.settle()
    assert api.contents == {"notes/folder/a.md": "a"}
    assert life.measured.gauges["watcher_unread_folders"] == 1
    (life.root / "folder").chmod(0o700)


def test_a_folder_that_is_suddenly_empty_is_waited_for(life: Life, api: Api, tmp_path: Path) -> None:
    life.write("a.md", "a")
    life.settle()
    life.root.rename(tmp_path / "unmounted")
    life.root.mkdir()
    for _ in range(19):
        life.turn(30)
    assert api.contents == {"notes/a.md": "a"}
    for _ in range(2):
        life.turn(30)
    assert api.contents == {}


def test_a_state_of_another_process_is_read_back(life: Life) -> None:
    life.write("a.md", "a")
    life.settle()
    assert dict(State(life.settings.state).known) == dict(life.state.known)
    assert set(life.state.known) == {"notes/a.md"}
