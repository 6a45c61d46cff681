"""The one widget: lines of text, of which only those on the screen are rendered."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import ClassVar

from rich.cells import cell_len, chop_cells
from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

MOST = 5000
"""Lines that are kept; the oldest go first."""

LONGEST = 4000
"""Characters of a line; the rest is cut."""

_PAINT = re.compile(r"\x1b\[([0-9]{1,2})m")
_LOOKS = {
    "1": "bold", "2": "dim", "31": "red", "32": "green", "33": "yellow", "34": "blue", "35": "magenta", "36": "cyan",
}  # fmt: skip
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def painted(line: str) -> Text:
    """A line as Rich's text. Only colours of `record.text` have an effect; Rich's markup has none.

    The redactor has cleaned the line. Control characters that are left are replaced by a visible character.
    """
    made, look, at = Text(no_wrap=True, end=""), "", 0
    for found in (*_PAINT.finditer(line), None):
        piece = line[at : found.start() if found else len(line)].expandtabs()
        made.append(_UNSEEN.sub("�", piece), look or None)
        if found:
            look, at = _LOOKS.get(found[1], ""), found.end()
    return made


class Lines(ScrollView, can_focus=True):
    """`wrap`: break long lines instead of cutting them. `tail`: show the newest lines until somebody scrolls up."""

    DEFAULT_CSS = """
    Lines { height: 1fr; overflow-x: hidden; overflow-y: auto; scrollbar-size: 0 0; }
    """

    def __init__(self, *, wrap: bool = False, tail: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self._wrap, self.tail, self._sought = wrap, tail, ""
        self._texts: list[Text] = []
        self._rows: list[tuple[int, Text]] = []
        self._match = -1

    # -- content -----------------------------------------------------------------------------------------------

    def show(self, lines: Sequence[str]) -> None:
        """Replace all lines."""
        self._texts = [painted(line[:LONGEST]) for line in lines]
        self._lay_out()

    def append(self, lines: Sequence[str]) -> None:
        texts = [painted(line[:LONGEST]) for line in lines]
        if len(self._texts) + len(texts) > MOST:
            self._texts = [*self._texts, *texts][-MOST * 4 // 5 :]
            self._lay_out()
        else:
            first = len(self._texts)
            self._texts += texts
            self._rows += self._broken(texts, first)
            self._grown()

    def _lay_out(self) -> None:
        self._rows = list(self._broken(self._texts, 0))
        self._grown()

    def _broken(self, texts: Sequence[Text], first: int) -> Iterator[tuple[int, Text]]:
        """(index of the line, text) for each row of the screen that a line takes."""
        width = max(10, self.size.width)
        for n, text in enumerate(texts, first):
            if not self._wrap or cell_len(text.plain) <= width:
                yield n, text
                continue
            at, cuts = 0, []
            for piece in chop_cells(text.plain, width)[:-1]:
                at += len(piece)
                cuts.append(at)
            yield from ((n, part) for part in text.divide(cuts))

    def _grown(self) -> None:
        self.virtual_size = Size(self.size.width, len(self._rows))
        if self.tail:
            self.follow()
        self.refresh()

    def on_resize(self, event: Resize) -> None:
        self._lay_out()

    def action_scroll_up(self) -> None:
        self.tail = False
        super().action_scroll_up()

    def action_page_up(self) -> None:
        self.tail = False
        super().action_page_up()

    def action_scroll_home(self) -> None:
        self.tail = False
        super().action_scroll_home()

    def follow(self) -> None:
        """Scroll to the end, and stay there when lines are added."""
        self.tail = True
        self.scroll_end(animate=False, immediate=True, x_axis=False)

    # -- search ------------------------------------------------------------------------------------------------

    def seek(self, text: str, step: int = 0) -> tuple[int, int]:
        """Mark lines that have this text, and go to the next one (`step` 1) or the one before (-1).

        Returns (position of the match, number of matches); the position starts at 1, and is 0 without a match.
        """
        if text.casefold() != self._sought:
            self._sought, self._match, step = text.casefold(), -1, 0
        found = [n for n, item in enumerate(self._texts) if self._sought and self._sought in item.plain.casefold()]
        self.refresh()
        if not found:
            return 0, 0
        if step == 0:
            top = self._rows[min(self.scroll_offset.y, len(self._rows) - 1)][0]
            chosen = next((n for n in found if n >= top), found[-1])
        elif step > 0:
            chosen = next((n for n in found if n > self._match), found[0])
        else:
            chosen = next((n for n in reversed(found) if n < self._match), found[-1])
        self.tail, self._match = False, chosen
        row = next(row for row, (n, _) in enumerate(self._rows) if n == chosen)
        self.scroll_to(y=row, animate=False, immediate=True)
        return found.index(chosen) + 1, len(found)

    # -- on the screen -----------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        row, width = self.scroll_offset.y + y, self.size.width
        if row >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        text = self._rows[row][1]
        if self._sought:
            text = text.copy()
            text.highlight_regex(re.compile(re.escape(self._sought), re.IGNORECASE), "reverse")
        strip = Strip(text.render(self.app.console), cell_len(text.plain))
        return self._marked(row, strip.crop_extend(0, width, self.rich_style).apply_style(self.rich_style))

    def _marked(self, row: int, strip: Strip) -> Strip:
        return strip


class Rows(Lines):
    """Lines with one chosen line. `keys`: a name for each line, by which the chosen one is found again when lines
    move."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "move(-100000)", show=False),
        Binding("end", "move(100000)", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.keys: Sequence[str] = ()
        self.room = 1  # height in rows
        self._at = 0

    @property
    def chosen(self) -> str | None:
        return self.keys[self._at] if self._at < len(self.keys) else None

    @property
    def first(self) -> int:
        """Index of the topmost visible row."""
        return int(self.scroll_offset.y)

    def fill(self, keys: Sequence[str], lines: Sequence[str]) -> None:
        before = self.chosen
        self.keys = list(keys)
        self._at = self.keys.index(before) if before in self.keys else min(self._at, max(0, len(self.keys) - 1))
        self.show(lines)

    def action_move(self, step: int) -> None:
        self._at = max(0, min(len(self.keys) - 1, self._at + step))
        self._follow()
        self.refresh()

    def action_page(self, step: int) -> None:
        self.action_move(step * max(1, self.size.height - 1))

    def _lay_out(self) -> None:
        super()._lay_out()
        self._follow()

    def _follow(self) -> None:
        """Scroll until the chosen line is visible."""
        top, height = self.scroll_offset.y, max(1, self.size.height)
        if not top <= self._at < top + height:
            self.scroll_to(y=self._at if self._at < top else self._at - height + 1, animate=False, immediate=True)

    def _marked(self, row: int, strip: Strip) -> Strip:
        return strip.apply_style(_CHOSEN) if row == self._at else strip


_CHOSEN = Style(reverse=True)
