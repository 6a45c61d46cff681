"""Reads our own documents strictly: plain values with places, and all violations at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.formats import events, nodes
from reconciler.formats.nodes import Limits, Node, Problem, Scalar, shorten
from reconciler.model.outcome import Reason, Violation
from reconciler.values import dataclass

OWN_LIMITS = Limits(size=256 << 10, depth=20, nodes=10_000, text=256 << 10)

Pointer = tuple[str | int, ...]

_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE = frozenset(("true", "True", "TRUE"))
_FALSE = frozenset(("false", "False", "FALSE"))
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]{1,40}|[0-9]{1,40}(\.[0-9]{0,40})?)([eE][-+]?[0-9]{1,3})?")
_PREFIXED = {"0o": (re.compile(r"0o[0-7]{1,20}"), 8), "0x": (re.compile(r"0x[0-9a-fA-F]{1,15}"), 16)}


@dataclass(frozen=True, slots=True)
class Document:
    """`value` is None if the file could not be read. Places are (line, column) from 1.

    `keys` and `values` hold the place of each key and value, `texts` each scalar as it was written.
    """

    path: str
    value: Any
    violations: tuple[Violation, ...]
    keys: Mapping[Pointer, tuple[int, int]]
    values: Mapping[Pointer, tuple[int, int]]
    texts: Mapping[Pointer, str]

    def place(self, pointer: Pointer, key: bool = False) -> tuple[int, int]:
        """Place of a value (or its key); if it does not exist, of its nearest ancestor."""
        if key and pointer in self.keys:
            return self.keys[pointer]
        while pointer not in self.values and pointer:
            pointer = pointer[:-1]
        return self.values.get(pointer, (1, 1))


def document(data: bytes, path: str, reason: Reason = Reason.PARSE_FAILED) -> Document:
    """Read one of our own documents: YAML 1.2 core scalars, without anchors, tags and merge keys.

    One YAML document of at most 256 KiB, 20 levels, 10,000 values. Nothing is raised: see `violations`.
    """
    tree = events.read(data, OWN_LIMITS)
    reader = _Values()
    value = None
    if tree.documents:
        value = reader.value(tree.documents[0], ())
    problems = (*tree.problems, *_encoding(data), *_strictness(tree), *reader.problems)
    violations = tuple(violation(problem, path, reason) for problem in sorted(problems, key=_order))
    return Document(path, value, violations, reader.keys, reader.values, reader.texts)


def violation(problem: Problem, path: str, reason: Reason = Reason.PARSE_FAILED) -> Violation:
    """A problem of one file as a violation of the commit."""
    line, column = problem.line, problem.column
    return Violation(reason, problem.rule, problem.message, problem.hint, path, line, column)


def json_pointer(pointer: Pointer) -> str:
    """RFC 6901 text of a pointer: `/spec/stacks/0/name`; '' is the whole document."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in pointer)


def _order(problem: Problem) -> tuple[int, int]:
    return problem.line, problem.column


class _Values:
    """Turns nodes into plain values. Recursion is bounded by the limit on levels."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.keys: dict[Pointer, tuple[int, int]] = {}
        self.values: dict[Pointer, tuple[int, int]] = {}
        self.texts: dict[Pointer, str] = {}

    def value(self, node: Node, pointer: Pointer) -> Any:
        self.values[pointer] = (node.line, node.column)
        if node.tag is not None:
            self.problems.append(_tagged(node))
        if isinstance(node, Scalar):
            self.texts[pointer] = node.text
            return plain_value(node.text) if node.plain else node.text
        if isinstance(node, nodes.Sequence):
            return [self.value(item, (*pointer, index)) for index, item in enumerate(node.items)]
        return self._mapping(node, pointer)

    def _mapping(self, node: nodes.Mapping, pointer: Pointer) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, item in node.pairs:
            if not isinstance(key, Scalar):
                continue
            if key.tag is not None:
                self.problems.append(_tagged(key))
            if key.plain and key.text == "<<":
                self.problems.append(_merge(key))
                continue
            self.keys[(*pointer, key.text)] = (key.line, key.column)
            found[key.text] = self.value(item, (*pointer, key.text))
        return found


def plain_value(text: str) -> Any:
    """The value of a plain scalar by YAML 1.2's core schema."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.fullmatch(text):
        return int(text)
    pattern, base = _PREFIXED.get(text[:2], (None, 10))
    if pattern and pattern.fullmatch(text):
        return int(text[2:], base)
    return float(text) if _FLOAT.fullmatch(text) else text


def _encoding(data: bytes) -> Iterator[Problem]:
    try:
        data[: OWN_LIMITS.size].decode("utf-8")
    except UnicodeDecodeError as error:
        if len(data) <= OWN_LIMITS.size:
            line = data[: error.start].count(b"\n") + 1
            yield Problem("invalid-encoding", "this is not UTF-8 text", "Save the file as UTF-8.", line, 1)


def _strictness(tree: nodes.Tree) -> Iterator[Problem]:
    for line, column in tree.sharing[: events.MOST_PROBLEMS]:
        hint = "Write the value out where it is needed."
        message = "anchors and aliases are not allowed in this file"
        yield Problem("alias-not-allowed", message, hint, line, column)
    for extra in tree.documents[1:]:
        message = "the file has more than one YAML document"
        yield Problem("several-documents", message, "Keep one; remove the others.", extra.line, extra.column)
    if not tree.documents and not tree.problems:
        yield Problem("empty-file", "the file is empty", "Write the document, or remove the file.", 1, 1)


def _tagged(node: Node) -> Problem:
    message = f"tags are not allowed in this file ('{shorten(node.tag or '')}')"
    return Problem("tag-not-allowed", message, "Remove the tag.", node.line, node.column)


def _merge(key: Scalar) -> Problem:
    message = "merge keys ('<<') are not allowed in this file"
    hint = "Write the values out where they are needed."
    return Problem("merge-not-allowed", message, hint, key.line, key.column)
