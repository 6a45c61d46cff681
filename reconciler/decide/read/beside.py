"""Compose files beside those of a stack that plain Compose would read, or that people expect it to read."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator

from reconciler.formats.compose_names import NAMES, OVERRIDES, default_files
from reconciler.model.documents import HostDocument, StackDocument
from reconciler.model.files import Files
from reconciler.model.outcome import Level, Reason, Violation


def left_out(files: Files, document: HostDocument, read: Collection[str], base: str = "") -> Iterator[Violation]:
    """A warning for each such file. `read`: the Compose files of all stacks, with what they include and extend.

    A stack whose first file has an unusual name is never started without `-f`, so no other file is expected there.
    """
    read = {*read, *(path for stack in document.stacks for path in stack.files)}  # also those that could not be read
    for stack in document.stacks:
        folder, first = posixpath.split(stack.files[0])
        there = {name for name in (*NAMES, *OVERRIDES) if posixpath.join(folder, name) in files.entries}
        if first in NAMES:
            for name in (*NAMES, *OVERRIDES):
                if name in there and posixpath.join(folder, name) not in read:
                    merged = default_files(there)
                    yield _warning(document, stack, posixpath.join(folder, name), name in merged, base)


def _warning(document: HostDocument, stack: StackDocument, path: str, merged: bool, base: str) -> Violation:
    named = [posixpath.relpath(item, base or ".") for item in (*stack.files, path)]
    if not merged:
        does = "plain Compose ignores it, too"
        hint = f"Remove {named[-1]}, or name it in `files:` of a stack."
    elif posixpath.basename(path) in NAMES:
        does = f"plain Compose would read it in place of {posixpath.basename(stack.files[0])}"
        hint = f"Remove one of the two, or name it in `files:` of the stack: files: [{named[-1]}]."
    else:
        does = "plain Compose would merge it"
        hint = f"To merge it, write `files: [{', '.join(_ordered(named))}]` at the stack of the Host document"
        if not document.path:
            hint += f" (desired-state/<host>.yaml), or without one COMPOSE_FILE={':'.join(_ordered(named))} into .env"
        hint += "; else rename it."
    return Violation(
        Reason.POLICY_VIOLATION,
        "file-left-out",
        f"{path} is left out, since `files` does not name it; {does}"
        if document.path
        else f"{path} is left out; {does}",
        hint,
        path=document.path or stack.files[0],
        line=stack.line if document.path else 1,
        column=1,
        level=Level.WARN,
        stack=stack.name,
    )


def _ordered(named: list[str]) -> list[str]:
    """The order of files: the override directly after the first file, before further files."""
    return [named[0], named[-1], *named[1:-1]]
