"""`validate`: judges a folder, a commit or plain Compose files as a turn would. Needs no engine."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.decide.admit.needs import needs
from reconciler.errors import Usage
from reconciler.loop.prepare import Prepared, Preparer
from reconciler.model.admission import Budget
from reconciler.model.documents import Exports, HostDocument, Permissions, StackDocument
from reconciler.model.files import Files
from reconciler.model.outcome import Level, Reason
from reconciler.record.summary_validation import validation
from reconciler.verbs import Answer

if TYPE_CHECKING:
    from reconciler.loop.ports import ReadBack

MakePreparer = Callable[[str, bool], Preparer]
"""Arguments: host name, whether policies count. Result: the preparer."""

SKIPPED = (
    "images: whether they exist is known only where they are pulled or built",
    "ports and memory of other containers: only the machine itself can tell",
)


def validate_files(
    files: Files,
    base: str,
    host: str | None,
    policies: bool,
    make: MakePreparer,
    grants: bool = False,
    compose: ReadBack | None = None,
) -> Answer:
    """Judge a repository: for `host`, or for every host that it has a document for.

    `grants`: list what it needs to be admitted. `compose`: reads back what would be created.
    """
    hosts = [host] if host else hosts_of(files, base)
    preparers = [make(name, policies) for name in hosts]
    judged = [_judged(preparer, preparer.prepare(files), compose) for preparer in preparers]
    return _answer(files, judged, preparers[0].permissions if grants else None)


def validate_compose(
    paths: Sequence[str],
    policies: bool,
    make: MakePreparer,
    read: Callable[[Path], Files],
    grants: bool = False,
    compose: ReadBack | None = None,
) -> Answer:
    """Judge plain Compose files as one stack named after their folder, with the defaults of an implied host.

    `grants`: list what they need to be admitted. `compose`: reads back what would be created.
    """
    found = [Path(path).absolute() for path in paths]
    missing = [str(path) for path in found if not path.is_file()]
    if missing:
        raise Usage(Reason.FILE_MISSING, f"there is no file {missing[0]}", "name the Compose files to validate")
    root = _root(found[0])
    names = tuple(path.relative_to(root).as_posix() for path in found if path.is_relative_to(root))
    if len(names) != len(found):
        raise Usage(
            Reason.USAGE_INVALID, f"not all files lie below {root}", "validate files of one repository together"
        )
    stack = StackDocument(_project(found[0].parent.name), names, line=1)
    files = read(root)
    preparer = make("local", policies)
    judged = _judged(preparer, preparer.prepare(files, HostDocument("local", (stack,))), compose)
    return _answer(files, [judged], preparer.permissions if grants else None)


def _judged(preparer: Preparer, prepared: Prepared, compose: ReadBack | None) -> Prepared:
    return prepared if compose is None else preparer.read_back(prepared, compose)


def _answer(files: Files, judged: Sequence[Prepared], permissions: Permissions | None) -> Answer:
    """The exit code and the document. `permissions`: those of the judgement, None if needs are not listed."""
    violations = list(dict.fromkeys(item for one in judged for item in one.violations))
    valid = not any(item.level is Level.DENY for item in violations)
    document = validation(
        revision=files.revision,
        violations=violations,
        budget=fullest(judged),
        skipped=SKIPPED,
        needs=None if permissions is None else needs(violations, permissions, _exported(judged)),
    )
    return (0 if valid else 1), document


def _exported(judged: Sequence[Prepared]) -> Mapping[str, Exports]:
    return {stack.name: stack.exports for one in judged if one.document for stack in one.document.stacks}


def fullest(judged: Sequence[Prepared]) -> Budget | None:
    """The budget that is exceeded most, or comes closest."""
    budgets = [one.budget for one in judged if one.budget is not None]
    return max(budgets, key=lambda item: (item.over_bytes, item.peak_bytes), default=None)


def hosts_of(files: Files, base: str) -> list[str]:
    """The hosts that a repository has documents for; an implied one if it has none."""
    folder = posixpath.join(base, "desired-state") + "/"
    inside = [path.removeprefix(folder) for path in sorted(files.entries) if path.startswith(folder)]
    return [name.removesuffix(".yaml") for name in inside if name.endswith(".yaml") and "/" not in name] or ["local"]


def _root(first: Path) -> Path:
    """The repository that contains the file, so that `../` leads to the same place as in a commit; else the file's
    folder."""
    return next((folder for folder in first.parents if (folder / ".git").exists()), first.parent)


def _project(folder: str) -> str:
    """The project name that Compose would make from a folder's name."""
    return re.sub(r"[^a-z0-9_-]", "", folder.lower()).lstrip("_-")[:63] or "stack"
