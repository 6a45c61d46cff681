"""Questions to the person at the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable


def terminal() -> Callable[[str], str] | None:
    """A function that asks on stderr, because stdout is for the document; None if there is no terminal."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None

    def ask(question: str) -> str:
        sys.stderr.write(question)
        sys.stderr.flush()
        return sys.stdin.readline()

    return ask


def consent(yes: bool) -> Callable[[str], bool] | None:
    """A function that asks whether a person agrees. `yes`: a person has agreed already. None if nobody can be asked."""
    if yes:
        return lambda question: True
    ask = terminal()
    return None if ask is None else lambda question: ask(question).strip().lower() in ("y", "yes")
