"""Cuts text into pieces that fit into the model's input (256 tokens, about 200 words of English)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

LONGEST = 1000
"""Most characters of a piece."""

_BREAKS = (re.compile(r"\n\s*\n"), re.compile(r"\n"), re.compile(r"(?<=[.!?])\s+"), re.compile(r"\s+"))


def split(text: str, longest: int = LONGEST) -> list[str]:
    """The pieces in order. They are cut at the coarsest break that makes them short enough: paragraph, line, sentence,
    word. `longest`: characters."""
    return list(_gathered(_small(text, longest, 0), longest))


def digest(heading: str, body: str) -> str:
    return hashlib.sha256(f"{heading}\0{body}".encode()).hexdigest()


def _small(text: str, longest: int, level: int) -> Iterator[str]:
    text = text.strip()
    if not text:
        return
    if len(text) <= longest:
        yield text
    elif level == len(_BREAKS):
        yield from (text[start : start + longest] for start in range(0, len(text), longest))
    else:
        for part in _BREAKS[level].split(text):
            yield from _small(part, longest, level + 1)


def _gathered(parts: Iterator[str], longest: int) -> Iterator[str]:
    """Join neighbouring parts as long as they fit into one piece."""
    held = ""
    for part in parts:
        if held and len(held) + len(part) + 1 > longest:
            yield held
            held = part
        else:
            held = f"{held}\n{part}" if held else part
    if held:
        yield held
