"""YAML text to a tree of nodes, built from the parser's events under limits.

Nothing here recurses on input or expands an alias, so a YAML bomb costs no more than its own bytes: the size after
expansion is counted, not built.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import yaml

from reconciler.formats.nodes import Limits, Mapping, Node, Problem, Scalar, Sequence, Tree, shorten

# libyaml's parser is iterative and far faster; only PyYAML's *composer* upon it crashes on deep input.
_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MOST_PROBLEMS = 100
"""Problems of one file that are reported; nobody would read more."""


class _RefusedError(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def read(data: bytes, limits: Limits) -> Tree:
    """The tree of a YAML file. Every problem is in the result; nothing is raised."""
    if len(data) > limits.size:
        return Tree((), (_too_big(limits.size),))
    builder = _Builder(limits)
    try:
        for event in yaml.parse(data, Loader=_Parser):
            builder.take(event)
    except _RefusedError as refused:
        return Tree((), (*builder.problems, refused.problem), tuple(builder.sharing))
    except yaml.YAMLError as error:
        return Tree((), (*builder.problems, _invalid(error, data, limits)), tuple(builder.sharing))
    return Tree(tuple(builder.documents), tuple(builder.problems), tuple(builder.sharing), tuple(builder.tagged))


class _Builder:
    """Handles events, and keeps the open collections on a stack of its own."""

    def __init__(self, limits: Limits) -> None:
        self.documents: list[Node] = []
        self.problems: list[Problem] = []
        self.sharing: list[tuple[int, int]] = []
        self.tagged: list[Node] = []
        self._limits = limits
        self._open: list[Sequence | Mapping] = []
        self._anchors: dict[str, Node] = {}
        self._count = 0
        self._handlers: dict[type[Any], Callable[[Any], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.SequenceStartEvent: self._start,
            yaml.MappingStartEvent: self._start,
            yaml.SequenceEndEvent: self._end,
            yaml.MappingEndEvent: self._end,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._document,
        }

    def take(self, event: Any) -> None:
        handler = self._handlers.get(type(event))
        if handler:
            handler(event)

    def _document(self, event: Any) -> None:
        self._anchors = {}

    def _scalar(self, event: Any) -> None:
        line, column = _place(event)
        tag = None if event.implicit[0] or event.implicit[1] else event.tag
        node = Scalar(event.value, event.style is None or event.style == "", tag, line, column, event.anchor)
        node.weight = len(event.value)
        self._note_anchor(node)
        self._note_tag(node)
        self._add(node, line, column)

    def _start(self, event: Any) -> None:
        line, column = _place(event)
        if len(self._open) >= self._limits.depth:
            raise _RefusedError(_too_deep(self._limits.depth, line, column))
        kind = Mapping if isinstance(event, yaml.MappingStartEvent) else Sequence
        node = kind(None if event.implicit else event.tag, line, column, event.anchor)
        self._note_anchor(node)
        self._note_tag(node)
        self._open.append(node)

    def _end(self, event: Any) -> None:
        node = self._open.pop()
        if isinstance(node, Mapping):
            left = MOST_PROBLEMS - len(self.problems)
            self.problems.extend(islice(_key_problems(node), left))
        self._add(node, node.line, node.column)

    def _alias(self, event: Any) -> None:
        line, column = _place(event)
        self.sharing.append((line, column))
        target = self._anchors.get(event.anchor)
        if target is None:
            raise _RefusedError(_unknown_alias(event.anchor, line, column))
        if any(target is node for node in self._open):
            raise _RefusedError(_circular(event.anchor, line, column))
        if len(self._open) + target.height > self._limits.depth + 1:
            raise _RefusedError(_too_deep(self._limits.depth, line, column))
        self._add(target, line, column)

    def _note_anchor(self, node: Node) -> None:
        if node.anchor is not None:
            self._anchors[node.anchor] = node
            self.sharing.append((node.line, node.column))

    def _note_tag(self, node: Node) -> None:
        if node.tag is not None:
            self.tagged.append(node)

    def _add(self, node: Node, line: int, column: int) -> None:
        self._count += 1
        if self._count > self._limits.nodes:
            raise _RefusedError(_too_many(self._limits.nodes, line, column))
        if not self._open:
            self.documents.append(node)
            return
        parent = self._open[-1]
        parent.size += node.size
        parent.weight += node.weight
        parent.height = max(parent.height, node.height + 1)
        if parent.size > self._limits.nodes:
            raise _RefusedError(_too_many(self._limits.nodes, line, column))
        if parent.weight > self._limits.text:
            raise _RefusedError(_too_long(self._limits.text, line, column))
        _attach(parent, node)


def _attach(parent: Sequence | Mapping, node: Node) -> None:
    if isinstance(parent, Sequence):
        parent.items.append(node)
    elif parent.pending is None:
        parent.pending = node
    else:
        parent.pairs.append((parent.pending, node))
        parent.pending = None


def _key_problems(node: Mapping) -> Iterator[Problem]:
    seen: dict[str, Node] = {}
    for key, _ in node.pairs:
        if not isinstance(key, Scalar):
            hint = "Write the key as one word."
            yield Problem("key-not-text", "a key must be plain text", hint, key.line, key.column)
        elif key.text in seen:
            first = seen[key.text].line
            message = f"the key '{shorten(key.text)}' stands twice in this map (first in line {first})"
            yield Problem("duplicate-key", message, "Remove or rename one of them.", key.line, key.column)
        else:
            seen[key.text] = key


def _place(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _too_big(limit: int) -> Problem:
    message = f"the file has more than {limit} bytes"
    return Problem("too-large", message, "Move data out of the file, or split it.", 1, 1)


def _too_deep(limit: int, line: int, column: int) -> Problem:
    message = f"more than {limit} levels are nested here"
    return Problem("too-deep", message, "Flatten the structure.", line, column)


def _too_many(limit: int, line: int, column: int) -> Problem:
    message = f"the file has more than {limit} values once its aliases are expanded"
    hint = "Remove aliases that multiply each other, or split the file."
    return Problem("too-many-nodes", message, hint, line, column)


def _too_long(limit: int, line: int, column: int) -> Problem:
    message = f"the file has more than {limit} characters once its aliases are expanded"
    return Problem("too-large", message, "Remove aliases that repeat long texts.", line, column)


def _unknown_alias(name: str, line: int, column: int) -> Problem:
    message = f"the alias '*{shorten(name)}' has no anchor before it"
    hint = f"Define '&{shorten(name)}' above, or correct the name."
    return Problem("invalid-yaml", message, hint, line, column)


def _circular(name: str, line: int, column: int) -> Problem:
    message = f"the alias '*{shorten(name)}' stands inside its own anchor"
    return Problem("invalid-yaml", message, "A value cannot contain itself.", line, column)


def _invalid(error: yaml.YAMLError, data: bytes, limits: Limits) -> Problem:
    hint = "Correct the YAML; indentation is spaces, never tabs."
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        text = ", ".join(part for part in (error.context, error.problem) if part)
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        if "nesting depth" in text:  # libyaml reads ahead and has a limit of its own (PyYAML 6.0.4)
            return _too_deep(limits.depth, line, column)
        return Problem("invalid-yaml", f"this is not valid YAML: {text}", hint, line, column)
    position = min(getattr(error, "position", 0) or 0, len(data))
    before = data[:position]
    line, column = before.count(b"\n") + 1, position - (before.rfind(b"\n") + 1) + 1
    reason = getattr(error, "reason", None) or "unreadable characters"
    hint = "Save the file as UTF-8 text without control characters."
    return Problem("invalid-yaml", f"this is not valid YAML: {reason}", hint, line, column)
