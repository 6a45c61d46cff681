"""Reads the Host document of one machine from the files of a commit."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import replace

from reconciler.decide.read import host as meaning
from reconciler.decide.read import stored_forms
from reconciler.decide.read.paths import (
    MOST_TOLD,
    content,
    file_violation,
    is_readable,
    resolve,
)
from reconciler.formats import events, nodes, schemas
from reconciler.formats.compose_names import NAMES
from reconciler.formats.dotenv import Steering, steering
from reconciler.formats.yamls import OWN_LIMITS, Pointer, document
from reconciler.model.documents import HostDocument, StackDocument
from reconciler.model.files import Files
from reconciler.model.outcome import Level, Reason, Violation

COMPOSE_LIMITS = nodes.Limits(size=1 << 20, depth=64, nodes=100_000, text=8 << 20)
"""Limits of a Compose file, checked before Compose reads it."""

NOTHING_DESIRED = "nothing-desired"
"""The rule for a commit that describes no machine."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")

Result = tuple[HostDocument | None, tuple[Violation, ...]]


def host_document(files: Files, host: str, base: str = "", stack: str = "") -> Result:
    """The Host document of `host` in this commit, or every violation that prevents reading it.

    Reads `<base>/desired-state/<host>.yaml`. If that folder has no document for any host, the first of
    `compose_names.NAMES` in `base`, or the file that COMPOSE_FILE of the committed `.env` names, is an implied document
    with one stack: named `stack`, else by the `.env` or the file's top-level `name`, else `host`. Everything else has
    its default, and `HostDocument.path` is None. The rule `host-file-missing` says that documents of other hosts exist,
    but not this one's.
    """
    folder = posixpath.join(base, "desired-state")
    path = f"{folder}/{host}.yaml"
    if path in files.entries:
        document, found = _written(files, path, host, base)
        return _with_profiles(files, document), found
    others = _hosts(files, folder)
    if others:
        return None, (_host_missing(path, host, others),)
    return _implied(files, host, base, stack)


def _written(files: Files, path: str, host: str, base: str) -> Result:
    odd = file_violation(files, path) or stored_forms.unreadable(files, path)
    if odd is not None:
        return None, (odd,)
    read = document(content(files, path, OWN_LIMITS.size), path)
    unreadable = read.value is None and read.violations
    checked = () if unreadable else schemas.check(read, "host", _is_environment)
    found = (*read.violations, *checked, *meaning.rules(read, host, files, base))
    if any(item.level is Level.DENY for item in found):
        return None, in_order(found)
    return meaning.value(read, base), in_order(found)


def _implied(files: Files, host: str, base: str, stack: str) -> Result:
    named = list(dict.fromkeys(_steering(files, posixpath.join(base, NAMES[0])).files))
    first = [name for name in _candidates(base) if name in files.entries][:1]
    paths = [resolve(base, name) or "" for name in named] or first
    if not paths:
        return None, (_nothing(base, host),)
    odd = [_as_named(files, *pair) for pair in zip(paths, named or paths, strict=True)]
    found = tuple(item for item in odd if item)
    if found:
        return None, in_order(found)
    told = _steering(files, paths[0])
    names = [told.project, *(own_name(read_compose(files, path)) for path in reversed(paths))]
    name = stack or next(filter(_NAME.fullmatch, names), host)
    return _with_profiles(files, HostDocument(host, (StackDocument(name, tuple(paths), line=1),))), ()


def _as_named(files: Files, path: str, name: str) -> Violation | None:
    """Why a Compose file, found or named by COMPOSE_FILE as `name`, cannot be read."""
    if path:
        return file_violation(files, path)
    message = f"COMPOSE_FILE of .env names {nodes.shorten(name)}, which is not inside the repository"
    hint = "Move the file into the repository, and name it by its path from there."
    return Violation(Reason.POLICY_VIOLATION, "path-outside", message, hint, path=None)


def _with_profiles(files: Files, document: HostDocument | None) -> HostDocument | None:
    """If the document names no profiles, COMPOSE_PROFILES of the committed `.env` counts, as for Compose."""
    if document is None:
        return None
    return replace(document, stacks=tuple(replace(one, profiles=_profiles(files, one)) for one in document.stacks))


def _profiles(files: Files, stack: StackDocument) -> tuple[str, ...]:
    return stack.profiles or _steering(files, stack.files[0]).profiles


def _steering(files: Files, compose_file: str) -> Steering:
    """Compose's settings in the committed `.env` beside the first Compose file."""
    path = posixpath.join(posixpath.dirname(compose_file), ".env")
    return steering(content(files, path)) if is_readable(files, path) else Steering()


def _candidates(base: str) -> list[str]:
    return [posixpath.join(base, name) for name in NAMES]


def read_compose(files: Files, path: str) -> nodes.Tree:
    """The tree of a Compose file of the commit, under COMPOSE_LIMITS."""
    return events.read(content(files, path, COMPOSE_LIMITS.size), COMPOSE_LIMITS)


def own_name(tree: nodes.Tree) -> str:
    """The Compose file's top-level name; '' if none. Faults of the file are reported later."""
    for root in tree.documents[:1]:
        for key, item in root.pairs if isinstance(root, nodes.Mapping) else ():
            if isinstance(key, nodes.Scalar) and key.text == "name" and isinstance(item, nodes.Scalar):
                return item.text
    return ""


def _hosts(files: Files, folder: str) -> list[str]:
    inside = (path.removeprefix(f"{folder}/") for path in files.entries if path.startswith(f"{folder}/"))
    return sorted(name for name in inside if "/" not in name and name.endswith((".yaml", ".yml")))


def _host_missing(path: str, host: str, others: list[str]) -> Violation:
    shown = ", ".join(nodes.shorten(name, 40) for name in others[:5])
    message = f"the commit has no document for the host '{host}' (there are: {shown})"
    if f"{host}.yml" in others:
        hint = f"Rename {host}.yml to {host}.yaml."
    else:
        hint = f"Add {path}, or correct 'host' in the agent config. What runs is kept as it is."
    return Violation(Reason.FILE_MISSING, "host-file-missing", message, hint, path=path)


def _nothing(base: str, host: str) -> Violation:
    where = f"'{base}'" if base else "the repository's root"
    message = f"there is neither desired-state/{host}.yaml nor a Compose file in {where}"
    hint = f"Add desired-state/{host}.yaml, or one of {', '.join(NAMES)}."
    return Violation(Reason.FILE_MISSING, NOTHING_DESIRED, message, hint, path=base or None)


def _is_environment(pointer: Pointer) -> bool:
    return len(pointer) > 3 and pointer[:2] == ("spec", "stacks") and pointer[3] == "env"


def in_order(found: Iterable[Violation]) -> tuple[Violation, ...]:
    """Violations in the order of the files, each once, no more than a report shows; denials before warnings."""
    kept = sorted(sorted(dict.fromkeys(found), key=_order), key=lambda item: item.level is Level.WARN)[:MOST_TOLD]
    return tuple(sorted(kept, key=_order))


def _order(found: Violation) -> tuple[str, int, int, str]:
    return found.path or "", found.line or 0, found.column or 0, found.rule
