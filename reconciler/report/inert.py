"""Text of others inside Markdown, where nothing of it is alive: no mark, no mention, no HTML, no command."""

from __future__ import annotations

import re
from collections.abc import Sequence

INDENT = " " * 4
"""No line that begins so closes a fence, and none is a command of GitLab's."""

CUT = "…"
WIDEST = 500
"""Characters of one line of a log."""


def code(text: str, most: int = WIDEST) -> str:
    """One line as a code span, which no backtick in it ends."""
    line = shortened(" ".join(text.split()), most)
    if not line:
        return ""
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    gap = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{gap}{line}{gap}{fence}"


def block(lines: Sequence[str], most: int) -> list[str]:
    """Lines in a fence; of more than `most` bytes the last ones are kept, as logs end with what matters."""
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
