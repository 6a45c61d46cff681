"""Judges references of a Compose file that Compose's canonical model does not show."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Set
from dataclasses import replace
from itertools import islice

from reconciler.decide.read.paths import MOST_TOLD, file_violation, is_readable, odd_parent, remote
from reconciler.decide.read.references import Reference
from reconciler.decide.read.stored_forms import unreadable
from reconciler.formats.dotenv import dotenv
from reconciler.formats.nodes import shorten
from reconciler.formats.yamls import json_pointer
from reconciler.model.files import Files, is_folder
from reconciler.model.outcome import Reason, Violation

FILES = ("env_file", "label_file", "extends", "include", "include.env_file")
"""Kinds of files that Compose reads in; the file must be in the commit."""

SERVICE_FILES = FILES[:2]

EXAMPLES = ("example", "sample", "template", "dist", "tmpl")
LARGEST_EXAMPLE, MOST_NAMES = 32 << 10, 30
"""Bytes of an example of an env file, and how many of its names are told."""

ENV_FILES = ("env_file", "include.env_file")
FOLDER = "include.project_directory"


def judged(files: Files, references: Iterable[Reference], idle: Set[str]) -> Iterator[Violation]:
    """Violations of references to files that are read in: out of the commit, remote, odd, or missing; no more than a
    report shows.

    A missing file of a service in `idle` (no active profile) is no violation: Compose does not read it.
    """
    judged = (item for item in references if item.kind in FILES or item.kind == FOLDER)
    found = ((item, violation) for item in judged for violation in _judge(files, item, idle))
    told: set[str | None] = set()
    for reference, violation in islice(found, MOST_TOLD):
        if reference.resolved and violation.hint == _absent(reference) and reference.resolved not in told:
            told.add(reference.resolved)
            yield replace(violation, hint=f"{violation.hint} {_names(files, reference.resolved)}".rstrip())
        else:
            yield violation


def lacking(files: Files, references: Iterable[Reference]) -> dict[str, str]:
    """The env, label and included files that the commit does not have, or has in a form that cannot be read, with the
    text of an empty one: all else can be judged without them. None of them if they are more than a report shows."""
    kinds = {item.resolved: item.kind for item in references if item.kind in (*SERVICE_FILES, "include")}
    found = list(islice((path for path in kinds if path and _lacks(files, path)), MOST_TOLD + 1))
    return {path: "{}" if kinds[path] == "include" else "" for path in found if path and len(found) <= MOST_TOLD}


def _lacks(files: Files, path: str) -> bool:
    if path in files.entries:
        return odd_parent(files, path) is None and unreadable(files, path) is not None
    parts = path.split("/")
    return not is_folder(files, path) and not any("/".join(parts[:n]) in files.entries for n in range(1, len(parts)))


def _names(files: Files, path: str) -> str:
    """The names that an env file has in its example, if one lies beside it."""
    folder, name = posixpath.split(path)
    plain = name.strip(".")
    stem, _, ending = name.rpartition(".")
    for word in EXAMPLES:
        likely = (f"{name}.{word}", f"{name}-{word}", f"{plain}.{word}", f"{word}.{plain}", f"{stem}.{word}.{ending}")
        for one in (posixpath.join(folder, item) for item in likely):
            if is_readable(files, one) and files.entries[one].size <= LARGEST_EXAMPLE:
                names = [item for item in dotenv(files.read(one), one)[0] if item.isascii() and item.isidentifier()]
                more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
                return f"{shorten(one)} names {', '.join(names[:MOST_NAMES])}{more}." if names else ""
    return ""


def _judge(files: Files, reference: Reference, idle: Set[str]) -> Iterator[Violation]:
    what = reference.kind.replace("include.", "include's ")
    shown = shorten(reference.value)
    if reference.resolved is None:
        if remote(reference.value):
            message = f"{what} '{shown}' would be fetched from elsewhere"
            yield _at(reference, "remote-file", message, "Commit the file and name its path.")
            return
        message = f"{what} '{shown}' is not inside the commit"
        hint = "Commit the file and write its path relative to this file, without leaving the repository."
        yield _at(reference, "outside-commit", message, hint)
    elif reference.kind == FOLDER:
        if odd_parent(files, reference.resolved):
            message = f"{what} '{shown}' leads through a symbolic link or submodule"
            yield _at(reference, "symlink", message, "Name a plain folder of the commit.")
        elif reference.resolved and not is_folder(files, reference.resolved):
            # Compose would take the folder above it, and relative paths could lead out of the commit.
            message = f"{what} '{shown}' is no folder of the commit"
            yield _at(reference, "not-a-folder", message, "Name a folder with committed files, or drop the key.")
    else:
        yield from _judge_file(files, reference, reference.resolved, idle)


def _judge_file(files: Files, reference: Reference, path: str, idle: Set[str]) -> Iterator[Violation]:
    found = file_violation(files, path, _absent(reference))
    if found is not None and f"'{reference.path}'" in found.hint:  # the file that names the missing one
        found = replace(found, hint=_absent(reference))
    if found is None and not (reference.kind in SERVICE_FILES and reference.service in idle):
        found = unreadable(files, path, env=reference.stack if reference.kind in ENV_FILES else "")
    if found is None:
        return
    unread = not reference.required or (reference.kind in SERVICE_FILES and reference.service in idle)
    if found.reason is Reason.FILE_MISSING and unread:
        return
    yield _at(reference, found.rule, f"{reference.kind}: {found.message}", found.hint, found.reason)


def _absent(reference: Reference) -> str:
    if reference.kind != "env_file":
        return "Commit the file, or correct the path."
    return (
        f"Put its values into <secrets_dir>/{reference.stack}.env on the host and name them in `environment` "
        "(NAME: ${NAME}) instead of env_file; or commit the file if nothing in it is secret."
    )


def _at(
    reference: Reference, rule: str, message: str, hint: str, reason: Reason = Reason.POLICY_VIOLATION
) -> Violation:
    return Violation(
        reason,
        rule,
        message,
        hint,
        path=reference.path,
        line=reference.line,
        column=reference.column,
        pointer=json_pointer(reference.pointer),
        stack=reference.stack,
        service=reference.service,
    )
