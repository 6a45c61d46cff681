"""Columns, colours and units: the layout of lines for people."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Collection, Iterator, Sequence

from reconciler.model.times import instant
from reconciler.values import dataclass

ELLIPSIS = "…"
GAP = "  "
NARROWEST = 7
"""No column is cut below this: a short sha must stay whole."""
READABLE = 24
"""No column of sentences is broken below this, as long as another one can be cut."""

_COLOURS = {"bold": "1", "dim": "2", "bad": "31", "good": "32", "warn": "33"}
_PAINT = re.compile(r"\x1b\[[0-9]+m")
_GIB = 1 << 30
_MIB = 1 << 20
_KIB = 1 << 10


@dataclass(frozen=True, slots=True)
class Style:
    """`colour`: paint words. `width`: columns that no line exceeds, except for paths that people copy.

    `every`: each warning with its hint, instead of one line for each rule.
    """

    colour: bool = False
    width: int = 80
    every: bool = False

    def paint(self, text: str, look: str) -> str:
        """`look`: bold, dim, bad, good or warn."""
        return f"\x1b[{_COLOURS[look]}m{text}\x1b[0m" if self.colour and text else text


def visible(text: str) -> int:
    """Columns that a painted text takes."""
    return len(_PAINT.sub("", text))


def middle(text: str, width: int) -> str:
    """Cut in the middle: both ends of a long name say more than its beginning alone."""
    if visible(text) <= width:
        return text
    plain = _PAINT.sub("", text)
    head = width // 2
    return plain[:head] + ELLIPSIS + plain[len(plain) - (width - head - 1) :]


def table(
    rows: Sequence[Sequence[str]],
    style: Style,
    *,
    right: Collection[int] = (),
    cut: Collection[int] = (),
    wrap: int | None = None,
) -> list[str]:
    """Aligned lines. `right`: columns aligned there.

    Too wide: column `wrap` is broken into several lines, and the columns `cut` lose their middle.
    """
    widths = [max(visible(row[column]) for row in rows) for column in range(len(rows[0]))]
    if wrap is not None:
        _shrink(widths, style.width, [wrap], READABLE)
    _shrink(widths, style.width, list(cut), NARROWEST)
    return [line for row in rows for line in _lines(row, widths, right, wrap)]


def paragraph(text: str, style: Style, indent: str = "", after: str | None = None) -> list[str]:
    """Words broken at the width; longer words, such as paths, stay whole.

    `indent` goes before each line; `after` before each but the first, if it differs.
    """
    lines = text.splitlines() or [""]
    return [
        part
        for line in lines
        for part in textwrap.wrap(
            line,
            max(style.width, 40),
            initial_indent=indent,
            subsequent_indent=indent if after is None else after,
            break_long_words=False,
            break_on_hyphens=False,
        )
    ]


def folded(line: str, width: int, after: str = "") -> list[str]:
    """A program's line in pieces that fit into so many columns, broken after a word if one ends in the second half.
    `after` goes before each piece but the first."""
    line, found = line.expandtabs(), []
    while (most := _fitting(line, width)) < len(line):
        space = line.rfind(" ", most // 2, most + 1)
        cut = most if space < 0 else space
        found.append(line[:cut].rstrip())
        line = after + line[cut:].lstrip()
    return [*found, line]


def _fitting(text: str, width: int) -> int:
    """Number of its first characters that fit. Chinese, Japanese and Korean characters and emojis take two columns."""
    for at, character in enumerate(text):
        width -= 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if width < 0:
            return at
    return len(text)


def size(count: int | None) -> str:
    """Bytes for people: 64 MiB, 1.1 GiB."""
    return "-" if count is None else f"{number(count, unit_of(count))} {unit_of(count)}"


def share(part: int | None, whole: int | None, joint: str) -> str:
    """Two sizes in the unit of the larger, unless the smaller would become 0: 31 / 64 MiB, 16 MiB of 11.2 GiB."""
    if part is None or whole is None:
        return size(whole if part is None else part)
    unit = unit_of(max(part, whole))
    if part and not float(number(part, unit)):
        return f"{size(part)} {joint} {size(whole)}"
    return f"{number(part, unit)} {joint} {number(whole, unit)} {unit}"


def percent(value: float) -> str:
    """A share: 0.5 %, 12 %."""
    return f"{value * 100:.1f} %" if value < 0.0995 else f"{value * 100:.0f} %"


def unit_of(count: int) -> str:
    """The largest unit of which there is at least one."""
    return "GiB" if count >= _GIB else "MiB" if count >= _MIB else "KiB" if count >= _KIB else "B"


def number(count: int, unit: str) -> str:
    """The number of `unit`s; with a decimal if it is needed."""
    value = count / {"GiB": _GIB, "MiB": _MIB, "KiB": _KIB, "B": 1}[unit]
    decimals = 1 if unit == "GiB" or (0 < value < 10 and not value.is_integer()) else 0
    return f"{value:.{decimals}f}"


def span(seconds: float) -> str:
    """A time that passed, roughly: 12 s, 3 min, 2 h, 5 d."""
    for limit, unit, length in ((90, "s", 1), (5400, "min", 60), (129600, "h", 3600)):
        if seconds < limit:
            return f"{max(0, round(seconds / length))} {unit}"
    return f"{round(seconds / 86400)} d"


def exactly(seconds: float) -> str:
    """To the second: 45s, 2m10s, 1h; below ten seconds to the tenth, below one in thousandths: 2.1s, 40ms."""
    if 0 < seconds < 1:
        return f"{max(1, round(seconds * 1000))}ms"
    if seconds < 10:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "m"), (rest, "s")]
    return "".join(f"{value}{unit}" for value, unit in parts if value)


def since(time: str | None, now: float) -> str:
    """Time since an RFC 3339 time; '-' if there is none."""
    return "-" if time is None else span(now - instant(time))


def short(sha: str | None) -> str:
    """A sha in its short form."""
    return sha[:7] if sha else "-"


def plural(count: int, noun: str, many: str = "") -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {many or f'{noun}s'}"


def _shrink(widths: list[int], limit: int, columns: Sequence[int], least: int) -> None:
    """Take from the widest of `columns`, one at a time, until the line fits or nothing more can be taken."""
    while sum(widths) + len(GAP) * (len(widths) - 1) > limit:
        widest = max(columns, key=lambda column: widths[column], default=None)
        if widest is None or widths[widest] <= least:
            return
        widths[widest] -= 1


def _lines(row: Sequence[str], widths: Sequence[int], right: Collection[int], wrap: int | None) -> Iterator[str]:
    broken = textwrap.wrap(row[wrap], widths[wrap]) if wrap is not None else []
    for line in range(max(1, len(broken))):
        cells = list(row) if line == 0 else [""] * len(row)
        if wrap is not None:
            cells[wrap] = broken[line] if broken else ""
        placed = (_place(cell, widths[n], n in right) for n, cell in enumerate(cells))
        yield GAP.join(placed).rstrip()


def _place(cell: str, width: int, right: bool) -> str:
    text = middle(cell, width)
    padding = " " * (width - visible(text))
    return padding + text if right else text + padding
