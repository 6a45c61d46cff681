"""Violations of Compose files that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from reconciler.decide.read.inputs import Inputs
from reconciler.decide.read.keys import RESET
from reconciler.decide.read.references import Reference
from reconciler.formats import nodes
from reconciler.formats.events import MOST_PROBLEMS
from reconciler.formats.nodes import Node, Problem, Scalar, shorten
from reconciler.formats.yamls import violation
from reconciler.model.outcome import Reason, Violation

_CORE = "tag:yaml.org,2002:"
_HARMLESS = {_CORE + name for name in ("str", "int", "float", "bool", "null", "map", "seq")}
_NOTHING = frozenset({"", "~", "null", "false", "0"})


def file_violations(path: str, tree: nodes.Tree) -> Iterator[Violation]:
    tags = islice(_tag_problems(tree), MOST_PROBLEMS)
    yield from (violation(problem, path) for problem in (*tree.problems, *tags))
    if not tree.problems and not any(isinstance(root, nodes.Mapping) for root in tree.documents):
        message, hint = "this is no Compose file: it has no keys", "Write at least services: into it."
        yield Violation(Reason.PARSE_FAILED, "not-compose", message, hint, path=path, line=1, column=1)
    for root in tree.documents[1:2]:
        message = "the file has more than one YAML document; Compose would merge them"
        hint = "Split it into files, and list them in the stack's files."
        yield Violation(Reason.POLICY_VIOLATION, "several-documents", message, hint, path, root.line, root.column)


def _tag_problems(tree: nodes.Tree) -> Iterator[Problem]:
    """Tags with which Compose reads another text, key or value than the file shows (`!!binary`, `!!merge "<<"`), so
    that a path could lead out of the commit unseen. Tags of other programs (`!vault`) change nothing for Compose."""
    for node in tree.tagged:
        tag = node.tag or ""
        shown = shorten(tag.replace(_CORE, "!!", 1))
        if tag == RESET and not _is_nothing(node):
            message = "!reset stands before a value, and Compose takes this value in some places"
            hint = "Write !reset null; to put another value in place of the earlier one, write !override."
            yield Problem("reset-value", message, hint, node.line, node.column)
        elif tag.startswith((_CORE, "!!")) and tag not in _HARMLESS and not _is_merge_key(node):
            message, hint = f"Compose files do not have the tag '{shown}'", "Remove it, and write plain text."
            yield Problem("tag-not-allowed", message, hint, node.line, node.column)


def _is_nothing(node: Node) -> bool:
    if isinstance(node, Scalar):
        return node.text.lower() in _NOTHING
    return not (node.items if isinstance(node, nodes.Sequence) else node.pairs)


def _is_merge_key(node: Node) -> bool:
    return node.tag == f"{_CORE}merge" and isinstance(node, Scalar) and node.plain and node.text == "<<"


def too_much(path: str, why: Reference | None, units: int, most: int) -> Violation:
    message = f"the stack uses more than {units} files, or files of more than {most} values together"
    hint = "Include and extend fewer files; each use counts."
    line, column = (why.line, why.column) if why else (1, 1)
    return Violation(Reason.PARSE_FAILED, "too-many-files", message, hint, why.path if why else path, line, column)


def too_large(path: str, why: Reference | None, inputs: Inputs) -> Violation:
    hint = "Keep data out of Compose and env files: mount it, or bake it into an image."
    line, column = (why.line, why.column) if why else (1, 1)
    service = why.service if why else None
    return Violation(
        Reason.PARSE_FAILED, "too-large", inputs.message, hint, why.path if why else path, line, column, service=service
    )


def includes_itself(found: Reference, above: tuple[str, ...]) -> Violation:
    message = "the include leads back to itself: " + " → ".join(shorten(path) for path in (*above, found.value))
    return Violation(
        Reason.PARSE_FAILED, "include-cycle", message, "Remove this include.", found.path, found.line, found.column
    )


def extends_itself(path: str, key: Scalar, name: str) -> Violation:
    message = f"the service '{shorten(name)}' extends itself"
    return Violation(
        Reason.PARSE_FAILED,
        "extends-cycle",
        message,
        "Remove one of the extends.",
        path=path,
        line=key.line,
        column=key.column,
        service=name,
    )


def copies(path: str, key: Scalar, most: int) -> Violation:
    message = f"with all that services extend, the stack has more than {most} values"
    hint = "Extend smaller services, or fewer times."
    return Violation(Reason.PARSE_FAILED, "too-many-nodes", message, hint, path, key.line, key.column, service=key.text)
