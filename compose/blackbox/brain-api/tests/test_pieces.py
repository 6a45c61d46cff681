"""Cutting text, keys, cursors and settings. No database is needed."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from brain.chunks import split
from brain.errors import ApiError
from brain.keys import Caller, Keys
from brain.paging import Cursor
from brain.pieces import artifact_digest, pieces
from brain.schemas import ArtifactIn
from brain.settings import Settings


def test_text_is_cut_at_paragraphs_before_lines_before_sentences_before_words() -> None:
    assert split("one\n\ntwo", 5) == ["one", "two"]
    assert split("one two. three 4.", 9) == ["one two.", "three 4."]
    assert split("one two three", 9) == ["one\ntwo", "three"]
    assert split("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]
    assert split(" \n ") == []


def test_nothing_is_lost_and_no_piece_is_too_long() -> None:
    dice = random.Random(4)  # noqa: S311 - the same each time
    for _ in range(300):
        text = "".join(dice.choice("ab. \n") * dice.randint(1, 9) for _ in range(dice.randint(0, 300)))
        found = split(text, 40)
        assert "".join("".join(found).split()) == "".join(text.split())
        assert all(0 < len(piece) <= 40 for piece in found)


def test_an_artifact_without_content_is_found_by_its_title() -> None:
    assert [piece.text for piece in pieces("title", "", None)] == ["title\n"]


def test_a_writers_own_pieces_are_used_and_equal_pieces_are_one() -> None:
    assert [piece.body for piece in pieces("t", "whole", ["a", "b", "a", " "])] == ["a", "b"]


def test_the_digest_changes_with_everything_except_the_path() -> None:
    one = ArtifactIn(title="t", content="c", path="p")
    assert artifact_digest(one) == artifact_digest(one.model_copy(update={"path": "q"}))
    changes: list[dict[str, Any]] = [{"tags": ["x"]}, {"metadata": {"a": 1}}, {"content": "d"}, {"links": []}]
    for change in changes:
        assert artifact_digest(one) != artifact_digest(one.model_copy(update=change))


def test_keys_are_known_by_name_and_role() -> None:
    keys = Keys(f"# comment\nlaptop write {'a' * 20}\nagent read {'b' * 20}\n")
    assert keys.caller("a" * 20) == Caller("laptop", "write")
    assert keys.caller("b" * 20) == Caller("agent", "read")
    assert keys.caller("c" * 20) is None
    assert keys.caller("") is None


@pytest.mark.parametrize("text", ["", "# nobody", "laptop write short", "laptop admin " + "a" * 20, "one-word"])
def test_a_wrong_file_of_keys_is_refused_without_telling_the_key(text: str) -> None:
    with pytest.raises(ValueError, match="API keys") as told:
        Keys(text)
    assert "aaaa" not in str(told.value)


def test_a_cursor_survives_the_way_through_a_client() -> None:
    cursor = Cursor(datetime(2026, 3, 4, 5, 6, 7, 8, tzinfo=UTC), uuid4())
    assert Cursor.parse(cursor.text()) == cursor
    for wrong in ("", "%%%", "bm90IG91cnM", "äö"):
        with pytest.raises(ApiError):
            Cursor.parse(wrong)


def test_an_empty_secret_is_refused_and_an_optional_one_may_be_missing(tmp_path: Path) -> None:
    environ = {
        "SECRETS": str(tmp_path), "POSTGRES_HOST": "p", "NEO4J_URL": "bolt://n", "EMBEDDING_MODEL": "m",
        "EMBEDDING_DIMENSIONS": "3",
    }  # fmt: skip
    for name in ("postgres_brain", "neo4j_password", "brain_api_keys"):
        (tmp_path / name).write_text("x\n")
    assert Settings.from_environment(environ).anthropic_key == ""
    (tmp_path / "neo4j_password").write_text("\n")
    with pytest.raises(ValueError, match="neo4j_password is empty"):
        Settings.from_environment(environ)
