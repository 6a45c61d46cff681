"""Violations of Compose files that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.decide.read.inputs import Inputs
from reconciler.decide.read.references import Reference
from reconciler.formats import nodes
from reconciler.formats.nodes import Scalar, shorten
from reconciler.formats.yamls import violation
from reconciler.model.outcome import Reason, Violation


def file_violations(path: str, tree: nodes.Tree) -> Iterator[Violation]:
    yield from (violation(problem, path) for problem in tree.problems)
    if not tree.problems and not any(isinstance(root, nodes.Mapping) for root in tree.documents):
        message, hint = "this is no Compose file: it has no keys", "Write at least services: into it."
        yield Violation(Reason.PARSE_FAILED, "not-compose", message, hint, path=path, line=1, column=1)
    for root in tree.documents[1:2]:
        message = "the file has more than one YAML document; Compose would merge them"
        hint = "Split it into files, and list them in the stack's files."
        yield Violation(Reason.POLICY_VIOLATION, "several-documents", message, hint, path, root.line, root.column)


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
