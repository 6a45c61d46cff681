"""What containers have printed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

NANOSECONDS = 10**9

Clean = Callable[[Sequence[str]], Sequence[str]]
"""Masks lines, each by itself (`decide.redact.Redactor.clean_lines`)."""


class LogLine(NamedTuple):
    """One line that a container has printed. A tuple, because millions of them are made for one answer.

    `time`: RFC 3339 UTC with nine decimals, as the engine noted it, so that texts sort as times do. `container`: its
    id. `stream`: stdout or stderr. `line`: without its end.
    """

    time: str
    stack: str
    service: str
    container: str
    stream: str
    line: str


class Masking:
    """Takes secrets out of the lines of one stream of one container, read one after the other. A private key that is
    printed over several lines is masked in all of them.
    """

    MOST = 200
    """Lines of a private key. A text that only begins like one does not hide what follows for ever."""

    def __init__(self, clean: Clean, masked: str) -> None:
        self._clean, self._masked, self._left = clean, masked, 0

    def __call__(self, lines: Sequence[str]) -> Sequence[str]:
        if not self._left and not any("-----BEGIN" in line for line in lines):
            return self._clean(lines)
        return [self._masked if self._is_key(line) else self._clean([line])[0] for line in lines]

    def _is_key(self, line: str) -> bool:
        """Whether the line belongs to a key, and is not the first line of it; that one is masked by `clean`."""
        if self._left:
            self._left = 0 if "-----END" in line else self._left - 1
            return True
        if "-----BEGIN" in line and "PRIVATE KEY" in line and "-----END" not in line:
            self._left = self.MOST
        return False


def together(
    lines: Iterator[LogLine], gap: int = 2_000_000, longest: int = 50_000_000
) -> Iterator[tuple[str, LogLine]]:
    """Each line of one container with the time that it is sorted by: lines of one message (a trace, an indented block)
    have the time of its first one, so that no other container's lines come between them.

    A line belongs to the message before it in the same stream if it is indented, or follows an indented one within
    `gap` nanoseconds; a message is at most `longest` nanoseconds long.
    """
    heads: dict[str, tuple[str, str, bool]] = {}
    for item in lines:
        head, before, indented = heads.get(item.stream, ("", "", False))
        inner = item.line[:1] in (" ", "\t")
        goes_on = inner or (indented and nanoseconds(item.time) - nanoseconds(before) <= gap)
        if not (head and goes_on and nanoseconds(item.time) - nanoseconds(head) <= longest):
            head = item.time
        heads[item.stream] = head, item.time, inner
        yield head, item


def nanoseconds(time: str) -> int:
    """The Unix epoch's, of a `LogLine.time`."""
    from datetime import datetime

    whole = datetime.fromisoformat(f"{time[:19]}+00:00")
    return int(whole.timestamp()) * NANOSECONDS + int(time[20:29])


def log_time(seconds: float) -> str:
    """Seconds of the Unix epoch as a `LogLine.time`."""
    from datetime import UTC, datetime

    whole = int(seconds // 1)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{int((seconds - whole) * NANOSECONDS):09}Z"
