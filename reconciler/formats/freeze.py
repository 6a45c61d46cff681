"""Keeps secret values out of documents that are stored: names go to disk, values stay in secrets_dir."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from reconciler.errors import Transient
from reconciler.model.outcome import Reason

SHORTEST = 4
"""Characters from which on a value counts as a secret: shorter ones occur in every document by chance."""

_OPENING = "${{"
_GONE = "\0"
"""A character that is in no text that Compose accepts."""
_ESCAPED = "${{literal}}"
_PLACEHOLDER = re.compile(r"\$\{\{(?:literal|secret ([^{}]+))\}\}")


def freeze(document: Any, secrets: Mapping[str, str]) -> Any:
    """The document with each secret value in its strings and keys replaced by `${{secret NAME}}`.

    `secrets`: name → value. If values overlap, the longest is taken; of equal ones, the first by name. Strings that
    look like a placeholder survive: `thaw` with the same secrets gives the same document.
    """
    names: dict[str, str] = {}
    for name in sorted(secrets):
        if len(secrets[name]) >= SHORTEST:
            names.setdefault(secrets[name], name)
    finder = _finder(names)
    return _leaves(document, lambda text: _frozen(text, names, finder))


def thaw(document: Any, secrets: Mapping[str, str]) -> Any:
    """The document with its placeholders filled in.

    A missing secret leaves a mark that `check_whole` finds: running containers need no value, only new ones do.
    """

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name is None:
            return _OPENING
        return secrets.get(name, f"{_GONE}{name}{_GONE}")

    return _leaves(document, lambda text: _PLACEHOLDER.sub(value, text))


def check_whole(document: Any) -> None:
    """Transient (FileMissing) if the thawed document needs a missing secret."""

    def check(text: str) -> str:
        if _GONE in text:
            name = text.split(_GONE)[1]
            raise Transient(
                Reason.FILE_MISSING,
                f"a stored model needs the secret {name}, which secrets_dir does not have any more",
                f"Put {name} back into secrets_dir, or push a commit that does not use it.",
            )
        return text

    _leaves(document, check)


def _finder(names: Mapping[str, str]) -> re.Pattern[str] | None:
    """Alternatives are tried in order, so the longest value comes first."""
    if not names:
        return None
    return re.compile("|".join(re.escape(value) for value in sorted(names, key=len, reverse=True)))


def _frozen(text: str, names: Mapping[str, str], finder: re.Pattern[str] | None) -> str:
    parts: list[str] = []
    end = 0
    for match in finder.finditer(text) if finder else ():
        parts.append(text[end : match.start()].replace(_OPENING, _ESCAPED))
        parts.append(f"{_OPENING}secret {names[match.group()]}}}}}")
        end = match.end()
    return "".join([*parts, text[end:].replace(_OPENING, _ESCAPED)])


def _leaves(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(key) if isinstance(key, str) else key: _leaves(item, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_leaves(item, change) for item in value]
    return value
