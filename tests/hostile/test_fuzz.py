"""Our own parsers on what nobody would write: they answer or refuse, and never break, in no more than a moment."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.decide.scan import scan
from reconciler.formats.dotenv import dotenv
from reconciler.formats.interpolation import TemplateError, interpolate
from reconciler.formats.quantities import QuantityError, seconds
from reconciler.formats.urls import url_problem
from reconciler.formats.yamls import document
from reconciler.model.documents import StackDocument
from tests.commits import CommitFiles

EXAMPLES = int(os.environ.get("RECONCILER_FUZZ", "150"))
"""Examples for each parser; many more by hand."""

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
@settings(max_examples=EXAMPLES, deadline=timedelta(seconds=5), suppress_health_check=list(HealthCheck))
@given(data=BYTES)
def test_nothing_breaks_a_parser(name: str, data: bytes) -> None:
    PARSERS[name](data)
