"""Our own parsers with random input: they answer or reject within a moment, and never fail."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.decide.history.folding import _HANDLERS, fold
from reconciler.decide.read.scan import scan
from reconciler.decide.redact import Redactor
from reconciler.effects import Effects
from reconciler.errors import Corrupt
from reconciler.formats.dotenv import dotenv
from reconciler.formats.interpolation import TemplateError, interpolate
from reconciler.formats.quantities import QuantityError, seconds
from reconciler.formats.urls import url_problem
from reconciler.formats.yamls import document
from reconciler.model.documents import StackDocument
from reconciler.record.journal import Journal
from reconciler.record.requests import RequestBox
from tests.commits import CommitFiles

EXAMPLES = int(os.environ.get("RECONCILER_FUZZ", "150"))
"""Examples for each parser; more on request."""
MANY = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@contextlib.contextmanager
def a_moment() -> Iterator[None]:
    """Of processor time, because the time of the disk and of other programs says nothing about us."""
    began = time.process_time()
    yield
    assert time.process_time() - began < 5


PIECES = st.sampled_from(
    [
        "services:", "\n", "\n  ", "\n    ", "web:", "image: x", "extends: ", "include: ", "env_file: ", "[", "]", "{",
        "}", ",", ": ", "&a ", "*a", "<<: ", "!reset ", "!override ", "!!binary ", "|", ">", "- ", "? ", "#",
        "'", '"', "\\",
        "${", "}", "$", ":-", "A=", "export ", "\t", "\r", "\x00", "\ufeff", "\u2028", "é", "---", "...", "%YAML 1.2",
        "volumes:", "build: ", "../", "/etc", "compose.yaml", "null", "~", "1e9", "0x1", ".inf", "9" * 40, "://", "@",
    ]
)  # fmt: skip
TEXTS = st.lists(PIECES | st.text(max_size=4), max_size=40).map("".join)
BYTES = TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=60)


def scanned(data: bytes) -> None:
    files = {"compose.yaml": data, "a.yaml": b"services: {a: {image: x}}", ".env": data}
    stack = StackDocument("shop", ("compose.yaml",), line=1)
    found = scan(CommitFiles(files), stack, {"A": "1"})
    for item in found.violations:
        assert item.message
        assert item.hint
        assert item.line is None or item.line >= 1


def interpolated(data: bytes) -> None:
    with contextlib.suppress(TemplateError):
        interpolate(data.decode(errors="replace"), {"A": "1"})


def measured(data: bytes) -> None:
    with contextlib.suppress(QuantityError):
        seconds(data.decode(errors="replace"))


PARSERS: dict[str, Callable[[bytes], object]] = {
    "documents": lambda data: document(data, "x.yaml"),
    "env files": lambda data: dotenv(data, ".env", {"A": "1"}),
    "variables": interpolated,
    "quantities": measured,
    "addresses": lambda data: url_problem(data.decode(errors="replace")),
    "Compose files": scanned,
}


@pytest.mark.parametrize("name", PARSERS)
@MANY
@given(data=BYTES)
@a_moment()
def test_nothing_breaks_a_parser(name: str, data: bytes) -> None:
    PARSERS[name](data)


WORDS = st.sampled_from(
    ["v", "kind", "at", "verb", "revision", "why", "until", "started", "ended", "suspend", "retry", "HEAD", "\x00",
     "\n", "2026-01-01T00:00:00Z", "2026-01-01", "9999-12-31T23:59:59Z", "a" * 40, "é", "\ud800", "NaN"]
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=6),
    max_leaves=12,
)
RECORDS = st.fixed_dictionaries(
    {"v": st.sampled_from([1, 1, 1, 2, True, None]), "kind": WORDS, "at": WORDS},
    optional={"revision": JSON, "attempt": JSON, "outcome": JSON},
)
REQUESTS = st.fixed_dictionaries(
    {"verb": st.sampled_from(["suspend", "retry", "x"]), "revision": WORDS | JSON, "why": WORDS | JSON, "until": JSON}
)
LINES = st.lists((RECORDS | JSON).map(lambda value: json.dumps(value).encode()) | BYTES, max_size=5).map(b"\n".join)


@MANY
@given(data=LINES, ended=st.booleans())
@a_moment()
def test_a_journal_is_read_or_refused_and_goes_on_where_it_was_read(data: bytes, ended: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        path.write_bytes(data + b"\n" * ended)
        ledger = Journal(path, Effects(), Redactor().clean)
        with contextlib.suppress(Corrupt):
            before = ledger.records()
            ledger.append("silent", at=1.0)
            assert [*before, "silent"] == [*ledger.records()[:-1], ledger.records()[-1]["kind"]]
            assert Journal(path, Effects(), Redactor().clean).records() == ledger.records()


KINDS = st.sampled_from([*_HANDLERS, "of another version"])
FIELDS = (
    "attempt", "revision", "intent", "outcome", "reason", "message", "content", "state", "before", "verb", "until",
    "failure", "stacks", "service", "services", "image", "images", "spec", "container", "links",
)  # fmt: skip
ODD: st.SearchStrategy[Any] = st.sampled_from(
    ["Advance", "Succeeded", "Crashed", "failure", "a", "b", "", None, 0, 1e400, [], ["a"], {}, True]
)
TIMES = st.sampled_from(["2026-01-01T00:00:00Z", "0001-01-01", "9999-12-31"])
FOLDED = st.lists(
    st.builds(lambda kind, at, more: {"v": 1, **more, "kind": kind, "at": at}, KINDS, TIMES,
              st.dictionaries(st.sampled_from(FIELDS), ODD) | st.fixed_dictionaries(dict.fromkeys(FIELDS, ODD))),
    max_size=4,
)  # fmt: skip


@MANY
@given(records=FOLDED)
@a_moment()
def test_records_are_understood_or_said_to_be_broken(records: list[dict[str, Any]]) -> None:
    with contextlib.suppress(Corrupt):
        fold(records)


@MANY
@given(
    data=(REQUESTS | JSON).map(lambda value: json.dumps(value).encode()) | BYTES,
    verb=st.sampled_from(["suspend", "retry"]),
)
@a_moment()
def test_a_request_is_taken_or_put_aside(data: bytes, verb: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"20260101T000000.000000000Z-{verb}.json"
        path.write_bytes(data)
        taken = RequestBox(Path(folder), Effects()).waiting()
        assert path.exists() == bool(taken)
        assert path.with_suffix(".bad").exists() != bool(taken)
        for request in taken:
            assert (request.verb, len(request.why) <= 500, len(request.revision) <= 500) == (verb, True, True)
            assert request.until is None or 0 <= request.until < 32_000_000_000
