"""Stored documents contain no secret, and are the same when they are loaded."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import Transient
from reconciler.formats.freeze import SHORTEST, check_whole, freeze, thaw

PIECES = st.sampled_from(["$", "{", "}", "${{", "}}", "secret ", "literal", "A", "hunter2", "unter", "\n"])
TEXTS = st.lists(PIECES, max_size=8).map("".join)
SECRETS = st.dictionaries(st.from_regex(r"[A-Z]{1,3}", fullmatch=True), TEXTS, max_size=4)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(DOCUMENTS, SECRETS)
def test_thaw_undoes_freeze(document: object, secrets: dict[str, str]) -> None:
    assert thaw(freeze(document, secrets), secrets) == document


@given(
    st.text(alphabet="abc${}", max_size=10),
    st.text(alphabet="abc${}", max_size=10),
    st.from_regex(r"[0-9]{4,12}", fullmatch=True),
)
def test_no_secret_value_is_left(before: str, after: str, value: str) -> None:
    frozen = json.dumps(freeze({"environment": [before + value + after]}, {"TOKEN": value}))
    assert value not in frozen
    assert "${{secret TOKEN}}" in frozen


def test_the_longer_of_two_overlapping_secrets_is_hidden_whole() -> None:
    frozen = freeze("postgres://app:correct-horse@db", {"SHORT": "correct", "LONG": "correct-horse"})
    assert frozen == "postgres://app:${{secret LONG}}@db"


def test_short_values_are_no_secrets() -> None:
    assert freeze("a yes b", {"FLAG": "y" * (SHORTEST - 1), "ANSWER": "yes"}) == "a yes b"


def test_a_literal_placeholder_is_not_filled_in() -> None:
    text = "${{secret TOKEN}}"
    assert thaw(freeze(text, {"TOKEN": "hunter2"}), {"TOKEN": "hunter2"}) == text


def test_a_secret_that_is_gone_is_missed_only_where_it_is_needed() -> None:
    document = thaw({"web": "${{secret TOKEN}}", "db": "none"}, {})
    check_whole(document["db"])
    with pytest.raises(Transient, match="TOKEN"):
        check_whole(document)
