"""Debouncing, ignoring, cutting and reading, each tested alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from brain_over_http import Api
from conftest import Life
from watcher.metrics import Measured
from watcher.reading import Changing, read, split
from watcher.scanning import scan, signature
from watcher.settings import Settings
from watcher.settling import Settling


def quiet(_: str) -> float:
    return 2.0


def test_a_change_counts_when_the_file_has_stayed_the_same_for_a_moment() -> None:
    settling = Settling(longest=60)
    assert settling.settled({"a": "1"}, 0.0, quiet) == []
    assert settling.settled({"a": "2"}, 1.5, quiet) == []
    assert settling.settled({"a": "2"}, 3.4, quiet) == []
    assert settling.settled({"a": "2", "b": None}, 3.5, quiet) == ["a"]
    assert settling.settled({}, 4.0, quiet) == []
    assert settling.settled({"b": None}, 9.0, quiet) == []


def test_a_file_that_never_stops_changing_is_sent_all_the_same() -> None:
    settling = Settling(longest=60)
    taken = [now for now in range(100) if settling.settled({"log": str(now)}, float(now), quiet)]
    assert taken[0] == 60


def test_half_written_files_are_waited_for(life: Life, api: Api) -> None:
    path = life.write("a.md", "half")
    life.turn()
    with path.open("a") as file:
        file.write(" and whole")
    life.turn(1.9)
    life.turn(1.9)
    assert api.items == {}
    life.turn(0.2)
    assert api.contents == {"notes/a.md": "half and whole"}


def scanned(folder: Path) -> set[str]:
    return set(scan(folder, 1000).files)


def test_default_and_written_rules_ignore_files(tmp_path: Path) -> None:
    taken = ["a.md", "src/main.py", ".env.example", "kept/secret.md", "src/built/keep.txt", "deep/build/x.md", ".notes"]
    ignored = [
        ".git/config", "node_modules/x/y.js", "src/__pycache__/m.pyc", "a.md~", ".a.md.swp", ".DS_Store", ".env",
        "id_ed25519", "src/server.key", "build/out.md", "docs/draft-1.md", "src/built/out.txt", "only-here.md",
    ]  # fmt: skip
    for name in [*taken, *ignored]:
        path = tmp_path / "notes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text")
    (tmp_path / "notes/.gitignore").write_text("/build/\ndraft-*\n# a comment\nsecret.md\n/only-here.md\n")
    (tmp_path / "notes/kept/.watchignore").parent.mkdir(exist_ok=True)
    (tmp_path / "notes/kept/.watchignore").write_text("!secret.md\n")
    (tmp_path / "notes/src/.watchignore").write_text("built/*\n!built/keep.txt\n")
    rules = {".gitignore", "kept/.watchignore", "src/.watchignore"}
    assert scanned(tmp_path) == {f"notes/{name}" for name in {*taken, *rules}}


def test_links_pipes_and_large_files_are_not_sent(tmp_path: Path) -> None:
    root = tmp_path / "notes"
    root.mkdir()
    (tmp_path / "outside.md").write_text("outside")
    (root / "link.md").symlink_to(tmp_path / "outside.md")
    (root / "loop").symlink_to(root)
    os.mkfifo(root / "pipe")
    (root / "large.md").write_bytes(b"x" * 1001)
    (root / ("x" * 250)).mkdir()
    found = scan(tmp_path, 1000)
    assert (found.files, found.skipped) == ({}, {"too large": 1})


def test_names_that_are_not_utf8_are_counted(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path / "notes") + b"/\xff.md")).write_text("x")
    found = scan(tmp_path, 1000)
    assert (found.files, found.skipped) == ({}, {"name is not UTF-8": 1})


def test_a_file_that_changed_since_the_scan_is_not_sent(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("one")
    seen = signature(path.stat())
    assert read(path, seen).parts == ("one",)
    path.write_text("other")
    with pytest.raises(Changing):
        read(path, seen)
    path.unlink()
    with pytest.raises(Changing):
        read(path, seen)


def test_a_text_is_cut_at_the_ends_of_lines() -> None:
    assert list(split("", 10)) == [""]
    assert list(split("one\ntwo\nthree\n", 8)) == ["one\ntwo\n", "three\n"]
    assert list(split("x" * 25, 10)) == ["x" * 10, "x" * 10, "x" * 5]
    for text in ("a\n\nb" * 50, "no end", "\n" * 33):
        assert "".join(split(text, 7)) == text


def test_metrics_are_published(life: Life) -> None:
    life.write("a.md", "a")
    life.write("b", b"\0")
    life.settle()
    told = life.measured.text()
    for line in ("watcher_files 1", 'watcher_skipped{reason="binary"} 1', "watcher_ingested_total 1"):
        assert f"\n{line}\n" in told
    assert told.count("# TYPE watcher_skipped gauge") == 1
    float_values = [float(line.split()[-1]) for line in told.splitlines() if not line.startswith("#")]
    assert len(float_values) >= 8


def test_a_watcher_that_hangs_is_unhealthy() -> None:
    now = 0.0
    measured = Measured(turned=0.0, clock=lambda: now)
    assert measured.problem() == ""
    now = 400.0
    assert "400 s" in measured.problem()


def test_settings_that_are_wrong_are_named(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("k\n")
    environment = {"BRAIN_API_KEY_FILE": str(key), "QUIET_SECONDS": "3", "LARGEST_FILE_KIB": "10"}
    read_back = Settings.from_environment(environment)
    assert (read_back.key, read_back.quiet, read_back.largest) == ("k", 3.0, 10240)
    with pytest.raises(SystemExit, match="QUIET_SECONDS is 'soon'"):
        Settings.from_environment({**environment, "QUIET_SECONDS": "soon"})
    with pytest.raises(SystemExit, match="cannot be read"):
        Settings.from_environment({"BRAIN_API_KEY_FILE": str(tmp_path / "none")})
