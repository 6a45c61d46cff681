"""Reads the text of a file, and cuts it if it is too long for one artifact of brain-api."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from watcher.scanning import Signature, signature

LONGEST = 900_000
"""Most characters of one artifact. brain-api takes a million, and cuts them into the pieces that are embedded."""


class Changing(Exception):
    """The file has changed since the scan, or is gone. The next scan finds its new state."""


@dataclass(frozen=True, slots=True)
class Reading:
    """`digest`: sha256 of the bytes. `parts`: its text; empty if the file is not text, then `reason` says why."""

    digest: str
    parts: tuple[str, ...] = ()
    reason: str = ""


def read(path: Path, seen: Signature) -> Reading:
    """Raises Changing, or OSError if the file cannot be read. `seen`: its signature in the scan."""
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
    """Cut at the ends of lines where possible. An empty text gives one empty part. `longest`: characters."""
    start = 0
    while len(text) - start > longest:
        end = text.rfind("\n", start, start + longest) + 1 or start + longest
        yield text[start:end]
        start = end
    yield text[start:]


def part_path(path: str, number: int) -> str:
    """The path of a part. The first part (0) has the path of the file; no file can have the path of a later part."""
    return path if number == 0 else f"{path}/#{number + 1}"
