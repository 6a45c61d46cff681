"""The common part of all screens: a title, and a line with the keys, which an input line can replace."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Key
from textual.screen import Screen
from textual.widget import Widget

from reconciler.dashboard.lines import Lines
from reconciler.dashboard.threads import Doors
from reconciler.record.text.layout import Style

if TYPE_CHECKING:
    from textual.widgets import Input

LONGEST_TYPED = 500
"""Characters; the bound of `suspend --reason`."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class View(Screen[None]):
    """`look` is called several times a second while the screen is on top. `style`: returns the present width and
    colours."""

    KEYS, TYPES = "", False
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "escape", show=False), Binding("q", "leave", show=False)]

    def __init__(self, doors: Doors, style: Callable[[], Style]) -> None:
        super().__init__()
        self.doors, self.style_now = doors, style
        self.heading, self.keys = Lines(id="heading"), Lines(id="keys")
        self._shown: dict[Lines, Sequence[str]] = {}
        self._input: Input | None = None
        self._typed: Callable[[str], None] = lambda text: None
        self._live = False

    @property
    def body(self) -> Widget:
        """The widget that gets the keys."""
        raise NotImplementedError

    def look(self) -> None:
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        yield self.heading
        yield self.body
        yield self.keys

    def on_mount(self) -> None:
        for line in (self.heading, self.keys):
            line.can_focus = False
        self.say(self.KEYS)
        self.body.focus()
        self.look()
        if self.TYPES:
            self.call_after_refresh(self._prepare)

    def put(self, place: Lines, lines: Sequence[str]) -> None:
        """Show lines in a widget. Nothing is drawn if they are the same as before."""
        if self._shown.get(place) != lines:
            self._shown[place] = lines
            place.show(lines)

    def entitle(self, left: str, right: str = "") -> None:
        """Show a title. `right`: a text at its right end."""
        self.put(self.heading, [ruled(left, right, self.style_now())])

    def say(self, text: str) -> None:
        """Show a text in the line of the keys."""
        self.put(self.keys, [self.style_now().paint(text, "dim")])

    # -- typing ------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Make the input line, hidden, before anybody needs it: letters that are typed fast must not act as keys."""
        from textual.widgets import Input  # loaded only after the first draw

        if not self.is_attached:  # the screen was closed meanwhile
            return
        # Selecting on focus would let the second letter replace a first one that came before the focus.
        self._input = Input(compact=True, max_length=LONGEST_TYPED, id="typing", select_on_focus=False)
        self._input.cursor_blink = False
        self._input.display = False
        self.mount(self._input)

    def type_in(self, label: str, typed: Callable[[str], None], live: bool = False, value: str = "") -> None:
        """Show the input line. Enter calls `typed` with the typed text; `live`: so does each key."""
        if self._input is None or not self._input.is_mounted:
            return
        self._typed, self._live = typed, live
        self.keys.display, self._input.display = False, True
        self._input.placeholder, self._input.value = label, value
        self._input.cursor_position = len(value)
        self.set_focus(self._input)

    @property
    def typing(self) -> bool:
        return self._input is not None and bool(self._input.display)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool:
        """While somebody types, no letter triggers an action, even if it was pressed before the input line was
        shown."""
        return not self.typing or action == "escape"

    def late(self, event: Key) -> bool:
        """Put a letter that was pressed before the input line was shown into that line. Returns whether it was one."""
        if self._input is None or not self.typing or not event.is_printable or not event.character:
            return False
        self._input.insert_text_at_cursor(event.character)
        return True

    def on_input_changed(self, event: Input.Changed) -> None:
        if self._live and self.typing:
            self._typed(_CONTROL.sub("", event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if self.typing:
            self._end_typing()
            self._typed(_CONTROL.sub("", event.value))

    def _end_typing(self) -> None:
        if self._input is not None:
            self.set_focus(self.body)
            self._input.display, self.keys.display = False, True

    def action_escape(self) -> None:
        if self.typing:
            self._end_typing()
        else:
            self.action_leave()

    def action_leave(self) -> None:
        if self.is_current:  # the key may have been pressed twice
            self.app.pop_screen()


def ruled(left: str, right: str, style: Style) -> str:
    """A rule across the screen with a text at each end."""
    rest = max(0, style.width - len(left) - len(right) - (7 if right else 4))
    return style.paint(f"── {left} {'─' * rest}" + (f" {right} ──" if right else "─"), "bold")
