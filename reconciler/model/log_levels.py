"""How serious a log line is, by what programs usually write into it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from reconciler.model.logs import LogLine, together

LEVELS = ("debug", "info", "warning", "error")
"""From the least serious to the most serious."""

BEGINNING = 120
"""Characters at the beginning of a line in which a bare word names its level. Later such a word is part of a text."""

_WORDS = {
    **dict.fromkeys(("trace", "debug", "verbose", "silly"), 0),
    **dict.fromkeys(("info", "information", "notice", "log", "note"), 1),
    **dict.fromkeys(("warn", "warning"), 2),
    **dict.fromkeys(("err", "error", "fatal", "crit", "critical", "panic", "severe", "alert", "emerg", "emergency"), 3),
}

_LETTERS = {"D": 0, "I": 1, "W": 2, "E": 3, "F": 3, "C": 3}

_KEYED = re.compile(r"""["']?\b(?:level|severity|lvl|levelname|log\.level)["']?\s*[=:]\s*["']?([A-Za-z]+|[1-6]0\b)""")
_BRACKETED = re.compile(r"[\[<(|]\s*([A-Za-z]+)\s*[\]>)|]")
_WORD = re.compile(r"(?<![A-Za-z0-9_./-])([A-Z]{3,11}|[A-Z][a-z]{3,10}(?=:))(?![A-Za-z0-9_/-])")
_LETTER = re.compile(r"([DIWEFC])\d{4} \d\d:\d\d:\d\d")
_TRACE = ("Traceback (most recent call last):", "panic:", "Exception in thread", "Caused by:")


def level_of(line: str) -> int | None:
    """The position in LEVELS; None if the line names none.

    It knows keys (`level=warn`, `"severity": "ERROR"`, the numbers of pino), words in brackets (`[error]`), bare words
    at the beginning (`ERROR:`, `2026-11-29 WARN x`), the first letter of glog (`E1129 06:30:01`), and the first line of
    a Python, Go or Java trace.
    """
    if line.startswith(_TRACE):
        return 3
    if (keyed := _KEYED.search(line)) is not None:
        word = keyed[1].lower()
        found = _WORDS.get(word)
        if found is None and word.isdecimal():
            found = min(max(int(word) // 10 - 2, 0), 3)
        if found is not None:
            return found
    if (letter := _LETTER.match(line)) is not None:
        return _LETTERS[letter[1]]
    head = line[:BEGINNING]
    for pattern in (_BRACKETED, _WORD):
        for match in pattern.finditer(head):
            if (found := _WORDS.get(match[1].lower())) is not None:
                return found
    return None


def at_least(lines: Iterable[LogLine], level: str) -> Iterator[LogLine]:
    """The lines of one container that are as serious as `level` (of LEVELS), or more.

    A line that names no level has the level of the message that it belongs to, and otherwise counts as info.
    """
    wanted = LEVELS.index(level)
    messages: dict[str, tuple[str, int]] = {}
    for head, item in together(iter(lines)):
        begun, rank = messages.get(item.stream, ("", 1))
        found = level_of(item.line)
        ranks = (found, rank if begun == head else None)
        rank = max((one for one in ranks if one is not None), default=1)
        messages[item.stream] = head, rank
        if rank >= wanted:
            yield item
