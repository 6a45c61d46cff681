"""A file's text, cut where brain-api would not take it whole."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from watcher.scanning import Signature, signature

LONGEST = 900_000
"""Characters of one artifact. brain-api takes a million; it cuts them into the pieces that are embedded."""


class Changing(Exception):
    """The file is not any more what was seen, or is gone: the next scan tells."""


@dataclass(frozen=True, slots=True)
class Reading:
    """`parts`: none where the file is not text; `reason` says what it is."""

    digest: str
    parts: tuple[str, ...] = ()
    reason: str = ""


def read(path: Path, seen: Signature) -> Reading:
    """Raises Changing, or OSError where the file may not be read."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            before = signature(os.fstat(file.fileno()))
            data = file.read()
            after = signature(os.fstat(file.fileno()))
    except FileNotFoundError as error:
        raise Changing(path) from error
    if not before == after == seen:
        raise Changing(path)
    digest = hashlib.sha256(data).hexdigest()
    if b"\0" in data:
        return Reading(digest, reason="binary")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return Reading(digest, reason="not UTF-8")
    return Reading(digest, tuple(split(text)))


def split(text: str, longest: int = LONGEST) -> Iterator[str]:
    """At the ends of lines where there are any. An empty text is one empty part."""
    start = 0
    while len(text) - start > longest:
        end = text.rfind("\n", start, start + longest) + 1 or start + longest
        yield text[start:end]
        start = end
    yield text[start:]


def part_path(path: str, number: int) -> str:
    """The first part has the file's own path; no file can be named like the later ones."""
    return path if number == 0 else f"{path}/#{number + 1}"
