"""The tree of a YAML file: nodes with places. An alias is the same node once more; nothing is copied."""

from __future__ import annotations

from dataclasses import field

from reconciler.values import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits for one file. `nodes` (keys too) and `text` (characters) count after alias expansion."""

    size: int
    depth: int
    nodes: int
    text: int


@dataclass(slots=True, eq=False)
class Scalar:
    """`plain`: written without quotes. `line` and `column` count from 1."""

    text: str
    plain: bool
    tag: str | None
    line: int
    column: int
    anchor: str | None = None
    size: int = 1
    height: int = 1
    weight: int = 0


@dataclass(slots=True, eq=False)
class Sequence:
    tag: str | None
    line: int
    column: int
    anchor: str | None = None
    items: list[Node] = field(default_factory=list)
    size: int = 1
    height: int = 1
    weight: int = 0


@dataclass(slots=True, eq=False)
class Mapping:
    """`pairs` as written: merge keys (`<<`) and duplicates included."""

    tag: str | None
    line: int
    column: int
    anchor: str | None = None
    pairs: list[tuple[Node, Node]] = field(default_factory=list)
    pending: Node | None = None
    size: int = 1
    height: int = 1
    weight: int = 0


Node = Scalar | Sequence | Mapping


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a file is rejected, and where."""

    rule: str
    message: str
    hint: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Tree:
    """One file. `documents` is empty if a problem prevented reading it to its end.

    `sharing` are the places of anchors and aliases; `tagged` are the nodes with a tag.
    """

    documents: tuple[Node, ...]
    problems: tuple[Problem, ...] = ()
    sharing: tuple[tuple[int, int], ...] = ()
    tagged: tuple[Node, ...] = ()


def shorten(text: str, width: int = 60) -> str:
    """Text of a file, in a form for a one-line message."""
    printable = "".join(char if char.isprintable() else "?" for char in text[: width + 1])
    return printable if len(text) <= width else printable[: width - 1] + "…"
