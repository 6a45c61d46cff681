"""Our own documents: what is accepted, what is rejected, and the place of each mistake."""

from __future__ import annotations

import time
import tracemalloc

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reconciler.formats.yamls import document, json_pointer
from reconciler.model.outcome import Reason


def told(text: str | bytes) -> list[tuple[str, int | None, int | None]]:
    read = document(text.encode() if isinstance(text, str) else text, "f.yaml")
    return [(item.rule, item.line, item.column) for item in read.violations]


def test_scalars_are_those_of_yaml_1_2() -> None:
    text = """
a: [yes, no, on, 'true', true, False, ~, null, ""]
b: [1, -2, 0o17, 0x1f, 1.5, 1e3, 017, 1:30, 2024-01-01, =, .5, 1_000]
c: "quoted: text"
d: |
  block
"""
    read = document(text.encode(), "f.yaml")

    assert read.violations == ()
    assert read.value == {
        "a": ["yes", "no", "on", "true", True, False, None, None, ""],
        "b": [1, -2, 15, 31, 1.5, 1000.0, 17, "1:30", "2024-01-01", "=", 0.5, "1_000"],
        "c": "quoted: text",
        "d": "block\n",
    }


def test_places_and_the_words_as_written_are_kept() -> None:
    read = document(b"a:\n  - b: 0800\n    c: x\n", "f.yaml")

    assert read.place(("a", 0, "b")) == (2, 8)
    assert read.place(("a", 0, "b"), key=True) == (2, 5)
    assert read.texts[("a", 0, "b")] == "0800"
    assert read.place(("a", 0, "missing")) == (2, 5)
    assert read.place(("nothing",)) == (1, 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\na: 2\n", [("duplicate-key", 2, 1)]),
        ("a: {b: 1, b: 2}\nc: 1\nc: 2\n", [("duplicate-key", 1, 11), ("duplicate-key", 3, 1)]),
        ("1: a\n'1': b\n", [("duplicate-key", 2, 1)]),
        ("a: &x 1\n", [("alias-not-allowed", 1, 4)]),
        ("a: &x 1\nb: *x\n", [("alias-not-allowed", 1, 4), ("alias-not-allowed", 2, 4)]),
        ("a:\n  <<: {b: 1}\n", [("merge-not-allowed", 2, 3)]),
        ("a: !!python/object/apply:os.system [x]\n", [("tag-not-allowed", 1, 4)]),
        ("a: !!str 1\n", [("tag-not-allowed", 1, 4)]),
        ("!x a: 1\n", [("tag-not-allowed", 1, 1)]),
        ("a: 1\n---\nb: 2\n", [("several-documents", 3, 1)]),
        ("? [a]\n: 1\n", [("key-not-text", 1, 3)]),
        ("a: [1\nb: 2\n", [("invalid-yaml", 2, 2)]),
        ("a:\n\tb: 1\n", [("invalid-yaml", 2, 1)]),
        ("", [("empty-file", 1, 1)]),
        ("# nothing\n", [("empty-file", 1, 1)]),
        (b"a: \xff\n", [("invalid-yaml", 1, 4), ("invalid-encoding", 1, 1)]),
        ("a: 1".encode("utf-16"), [("invalid-encoding", 1, 1)]),
        (b"a: \x00\n", [("invalid-yaml", 1, 4)]),
    ],
)
def test_every_violation_is_told_with_its_place(text: str | bytes, expected: list[tuple[str, int, int]]) -> None:
    assert sorted(told(text)) == sorted(expected)


def test_limits_are_on_size_depth_and_values() -> None:
    assert told("a: " + "[" * 19 + "]" * 19) == []
    assert told("a: " + "[" * 20 + "]" * 20) == [("too-deep", 1, 23)]
    assert told("[" + "a," * 9_999 + "]") == []
    assert told("[" + "a," * 10_001 + "]") == [("too-many-nodes", 1, 20_000)]
    assert told("a: '" + "x" * (255 << 10) + "'") == []
    assert told("#" * ((256 << 10) + 1)) == [("too-large", 1, 1)]


HOSTILE = {
    "flow": b"a: " + b"[" * 50_000,
    "flow maps": b"a: " + b"{a: " * 50_000,
    "block": b"- " * 50_000,
    "questions": b"? " * 50_000,
    "aliases": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 9)) for n in range(20)),
    "long number": b"a: " + b"9" * 20_000,
    "anchors": b"".join(b"- &a%d x\n" % n for n in range(20_000)),
    "duplicates": b"a: 1\n" * 40_000,
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_documents_cost_little_time_and_memory(data: bytes) -> None:
    began = time.process_time()
    document(data, "f.yaml")
    spent = time.process_time() - began
    tracemalloc.start()
    read = document(data, "f.yaml")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert spent < 1
    assert peak < 20 << 20
    assert len(read.violations) <= 200


plain = st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text(max_size=8)
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(min_size=1, max_size=6), values, min_size=1, max_size=4))
def test_what_was_written_is_read_back(value: dict[str, object]) -> None:
    text = yaml.safe_dump(value, allow_unicode=True, default_style='"')
    read = document(_without_tags(text).encode(), "f.yaml")

    assert not [item for item in read.violations if item.rule not in ("too-deep",)]
    assert read.value == _texts(value)


def _without_tags(text: str) -> str:
    return text.replace('!!null "null"', '"null"').replace("!!bool ", "").replace("!!int ", "").replace("!!float ", "")


def _texts(value: object) -> object:
    """Everything as text: the dump quotes all scalars."""
    if isinstance(value, dict):
        return {key: _texts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_texts(item) for item in value]
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


@given(st.binary(max_size=200))
def test_no_bytes_raise(data: bytes) -> None:
    read = document(data, "f.yaml")

    assert all(item.reason is Reason.PARSE_FAILED and item.hint for item in read.violations)


def test_a_pointer_is_written_as_in_rfc_6901() -> None:
    assert json_pointer(("a/b", 0, "c~d")) == "/a~1b/0/c~0d"
    assert json_pointer(()) == ""
