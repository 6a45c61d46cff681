"""Puts text of others into Markdown so that nothing in it has an effect: no mark, no mention, no HTML, no command."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reconciler.decide.redact import tidy

INDENT = " " * 4
"""Prefix of each line: then no line closes a fence or is a command of GitLab's."""

CUT = "…"
WIDEST = 500
"""Longest line of a log, in characters."""


def code(text: str, most: int = WIDEST) -> str:
    """One line as a code span; backticks in it do not end the span."""
    # Tidy first: if a character between two backticks were removed later, a longer run of them could end the span.
    line = shortened(" ".join(tidy(text, False).split()), most)
    if not line:
        return ""
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    gap = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{gap}{line}{gap}{fence}"


def block(lines: Sequence[str], most: int) -> list[str]:
    """Lines in a fence. Of more than `most` bytes the last lines are kept, because the important ones are at a log's
    end."""
    kept: list[str] = []
    room = most
    for line in reversed(lines):
        short = INDENT + shortened(" ".join(line.splitlines()), WIDEST)
        room -= len(short.encode(errors="replace")) + 1
        if room < 0:
            kept.append(INDENT + CUT)
            break
        kept.append(short)
    return ["```", *reversed(kept), "```"]


def shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + CUT
