"""Reads Compose's message about a refused file: the file, the place in it, and the mistake (without our folders)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from reconciler.model.outcome import Reason, Violation

RULE = "compose-rejects"

LONGEST = 600
"""Characters of a message, because Compose repeats whole values."""

_LOG_LINE = re.compile(r'^time="[^"]*" level=\w+ msg=')
_LINE = re.compile(r"\bline (\d+)\b")
_POINTER = re.compile(r"\b(services|networks|volumes|configs|secrets)(?:\.|\[)([\w-]+)\]?((?:\.[\w-]+)*)")
_PROPERTY = re.compile(r"additional propert(?:y|ies) '?([^' ]+)'? (?:is )?not allowed", re.IGNORECASE)
_NAME_PROPERTY = re.compile(r"validating \S+ services additional properties '([^']+)' not allowed")
_TOP = re.compile(r"(?:^|: )`?(include|name|version|services|networks|volumes|configs|secrets)`? must be ")
_NO_TEXT = re.compile(r"non-string key in (services|networks|volumes|configs|secrets): ")
_SERVICE = re.compile(r'\bservice (?:"([^"]+)"|([\w.-]+) declares\b)')
_CYCLE = re.compile(r"dependency cycle detected: ([\w.-]+) ->")
_LISTED = "following error(s):"
_SYNTAX = re.compile(r"(?:^|\s)yaml: |failed to parse |must be a mapping|empty compose file")
_MISSING = ("no such file or directory", " not found: stat ")


def rejections(stderr: str, stack: str, root: str, known: Sequence[str]) -> tuple[Violation, ...]:
    """The mistakes that Compose names in `stderr`.

    `root`: the folder in which it read the commit; it is removed from every message. `known`: files of the commit that
    a message may name; the first is used if it names none.
    """
    text = "\n".join(line for line in stderr.splitlines() if line.strip() and not _LOG_LINE.match(line))
    messages = text.partition(_LISTED)[2].splitlines() if _LISTED in text else [" ".join(text.split("\n"))]
    return tuple(_violation(message.strip(), stack, root, known) for message in messages if message.strip())


def _violation(message: str, stack: str, root: str, known: Sequence[str]) -> Violation:
    path = next((name for name in _by_length(known) if f"{root}/{name}" in message), None)
    line = _LINE.search(message)
    pointer = _pointer(message)
    named = pointer.split("/")[2] if pointer and pointer.startswith("/services/") else None
    clean = message.replace(f"{root}/", "").replace(root, ".")
    return Violation(
        reason=_reason(clean),
        rule=RULE,
        message=f"Compose rejects it: {clean if len(clean) <= LONGEST else clean[:LONGEST] + '…'}",
        hint="`docker compose config` shows the same; a stack is applied only when Compose accepts it.",
        path=path or (known[0] if known else None),
        line=int(line[1]) if line else None,
        pointer=pointer,
        stack=stack,
        service=named,
    )


def _by_length(names: Iterable[str]) -> list[str]:
    """Longest first, because one name may be the beginning of another."""
    return sorted(names, key=len, reverse=True)


def _pointer(message: str) -> str | None:
    if match := _POINTER.search(message):
        unknown = _PROPERTY.search(message)
        parts = [match[1], match[2], *match[3].split(".")[1:], *([unknown[1]] if unknown else ())]
        return "/" + "/".join(parts)
    if match := _NAME_PROPERTY.search(message):
        return f"/services/{match[1]}"
    if match := _PROPERTY.search(message):
        return f"/{match[1]}"
    if match := _TOP.search(message) or _NO_TEXT.search(message):
        return f"/{match[1]}"
    if match := _CYCLE.search(message):
        return f"/services/{match[1]}/depends_on"
    if match := _SERVICE.search(message):
        return f"/services/{match[1] or match[2]}"
    return None


def _reason(message: str) -> Reason:
    if "MarshalJSON" in message:  # Compose reads `build.ssh` correctly and cannot print it (2.26 and 2.40)
        return Reason.POLICY_VIOLATION
    if any(words in message for words in _MISSING):
        return Reason.FILE_MISSING
    return Reason.PARSE_FAILED if _SYNTAX.search(message) else Reason.SCHEMA_INVALID
