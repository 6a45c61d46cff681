"""The screens that keys open: the log of a service, commits, a text, a question."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widget import Widget

from reconciler.dashboard.lines import Lines, Rows
from reconciler.dashboard.threads import Doors, Follow, Job
from reconciler.dashboard.view import View
from reconciler.record import text as texts
from reconciler.record.text.history import history, listed
from reconciler.record.text.layout import Style, paragraph, short
from reconciler.record.text.logs import LogText

Json = Mapping[str, Any]

HELP = """\
On the first screen

  up down, j k    choose a service            enter, l  its log
  /               only services with a text in their name or state
  h               commits                     p         plan of the head
  d               doctor                      q, ctrl+c quit

These change something, and ask first

  s  suspend the agent                        u  resume it
  t  try the branch's head again              a  accept the held head
  In the list of commits, t and a are about the chosen commit.

  A rollback is a new commit, which is pushed from a clone:
  `reconciler rollback --on NAME` on your laptop.

In a log

  f  follow                                   o  of the containers replaced last
  /  search                                   n N  next match, match before

Escape or q leaves a screen. The mouse is your terminal's: mark and copy as usual.
What is shown is two seconds old at most; if it is older, the first lines say so."""


NAME = 24
"""Columns of a service's name before its log line."""


class LogView(View):
    """The log of one service (STACK/SERVICE)."""

    KEYS = "f follow  o replaced containers  / search  n N next, before  esc back"
    TYPES = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "follow", show=False),
        Binding("o", "replaced", show=False),
        Binding("slash", "search", show=False),
        Binding("n", "next(1)", show=False),
        Binding("N", "next(-1)", show=False),
    ]

    def __init__(self, doors: Doors, style: Callable[[], Style], service: str) -> None:
        super().__init__(doors, style)
        self._service, self._replaced, self._sought, self._found = service, False, "", (0, 0)
        self._lines, self._text = Lines(wrap=True, tail=True), LogText(NAME)
        self._follow = self._open()

    @property
    def body(self) -> Widget:
        return self._lines

    def on_unmount(self) -> None:
        self._follow.close()

    def look(self) -> None:
        rows, style = self._follow.take(), self.style_now()
        if rows:
            self._lines.append([self._text(row, style.colour) for row in rows])
        told = "following" if self._lines.tail else "f follows again"
        if self._replaced:
            told = "replaced containers"
        if self._sought:
            told = f"{self._found[0]} of {self._found[1]} with {self._sought!r}, {told}"
        self.entitle(f"log of {self._service}", told)
        if self._follow.error:
            self.say(self._follow.error)

    def _open(self) -> Follow:
        return Follow(partial(self.doors.follow, self._service, self._replaced))

    def _again(self) -> None:
        self._follow.close()
        self._follow = self._open()
        self._lines.show([])
        self._lines.tail = True
        self.say(self.KEYS)

    def action_follow(self) -> None:
        if self._replaced:
            self.action_replaced()
        self._lines.follow()

    def action_replaced(self) -> None:
        self._replaced = not self._replaced
        self._again()

    def action_search(self) -> None:
        self.type_in("search for", self._search)

    def _search(self, text: str) -> None:
        self._sought, self._found = text, self._lines.seek(text)

    def action_next(self, step: int) -> None:
        if self._sought:
            self._found = self._lines.seek(self._sought, step)


class TextView(View):
    """`told`: makes the lines; called again when the width changes and when `job` is done. `job`: is dropped at the
    end."""

    KEYS = "up, down, page up, page down  esc back"

    def __init__(
        self,
        doors: Doors,
        style: Callable[[], Style],
        title: str,
        told: Callable[[Style], Sequence[str]],
        job: Job | None = None,
    ) -> None:
        super().__init__(doors, style)
        self._title, self._make, self._job = title, told, job
        self._lines = Lines(wrap=True)
        self._made_of: object = None

    @property
    def body(self) -> Widget:
        return self._lines

    def on_unmount(self) -> None:
        if self._job is not None:
            self._job.drop()

    def look(self) -> None:
        style = self.style_now()
        made_of = (style.width, self._job is None or self._job.done)
        if made_of != self._made_of:
            self._made_of = made_of
            self.entitle(self._title)
            self._lines.show(self._make(style))


def verb_view(doors: Doors, style: Callable[[], Style], words: Sequence[str], title: str) -> TextView:
    """Run a verb, and show the text that it prints in a shell."""
    job = Job(partial(doors.ask, words))

    def told(style: Style) -> Sequence[str]:
        document = job.document
        if job.error is not None:
            return [f"{style.paint('error', 'bad')}: {job.error}"]
        if document is None:
            return ["looking …"]
        if document["kind"] == "Error":
            return texts.error(document, style).splitlines()
        return texts.render(document, style, doors.clock()).splitlines()

    return TextView(doors, style, title, told, job)


class CommitsView(View):
    """The newest commits; Enter shows one in full."""

    KEYS = "enter details  t try again  a accept  esc back"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "details", show=False),
        Binding("t", "change('retry')", show=False),
        Binding("a", "change('accept')", show=False),
    ]

    def __init__(self, doors: Doors, style: Callable[[], Style], change: Callable[[str, str | None], None]) -> None:
        super().__init__(doors, style)
        self._rows, self._columns, self._change = Rows(), Lines(id="columns"), change
        self._made_of: object = None

    @property
    def body(self) -> Widget:
        return self._rows

    def compose(self) -> ComposeResult:
        yield self.heading
        yield self._columns
        yield self._rows
        yield self.keys

    def look(self) -> None:
        style, snapshot = self.style_now(), self.doors.board.newest
        made_of = (style.width, self.doors.board.version)
        if made_of == self._made_of:
            return
        self._made_of = made_of
        attempts = self._attempts()
        self.entitle(f"commits of {snapshot.host}", f"{len(attempts)} newest")
        if not attempts:
            self._rows.fill([], ["no commit was tried yet" if snapshot.history else "looking …"])
            return
        columns, *rows = listed(attempts, style, snapshot.at)
        self.put(self._columns, [columns])
        self._rows.fill([_key(item) for item in attempts], rows)

    def _attempts(self) -> Sequence[Json]:
        found = self.doors.board.newest.history
        return found["attempts"] if found else ()

    def _chosen(self) -> Json | None:
        return next((item for item in self._attempts() if _key(item) == self._rows.chosen), None)

    def action_details(self) -> None:
        item = self._chosen()
        if item is None:
            return
        document = {"kind": "History", "attempts": [item], "requests": []}

        def told(style: Style) -> Sequence[str]:
            return history(document, style, self.doors.clock())

        self.app.push_screen(TextView(self.doors, self.style_now, f"commit {short(item['revision'])}", told))

    def action_change(self, verb: str) -> None:
        item = self._chosen()
        if item is not None:
            self._change(verb, item["revision"])


def _key(attempt: Json) -> str:
    return f"{attempt['revision']} {attempt['id']} {attempt['startedAt']}"


WIDTH = 64
"""Columns of a question."""

READING = 0.3
"""Seconds in which nobody can have read a question: an earlier `y` was meant for something else."""


class Question(ModalScreen[bool]):
    """Only `y` means yes, and only after READING seconds. Any other key means no."""

    DEFAULT_CSS = """
    Question { align: center middle; background: transparent; }
    Question > Lines { width: 68; max-width: 100%; border: round ansi_yellow; padding: 0 1; background: ansi_default; }
    """

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__()
        width = Style(width=WIDTH)
        self._told = [part for line in lines for part in paragraph(line, width) or [""]]
        self._told += ["", "y  yes        any other key  no"]
        self._lines = Lines()
        self._shown_at = time.monotonic()

    def compose(self) -> ComposeResult:
        yield self._lines

    def on_mount(self) -> None:
        self._shown_at = time.monotonic()
        self._lines.can_focus = False
        self._lines.show(self._told)
        self._lines.styles.height = len(self._told) + 2

    def on_key(self, event: Any) -> None:
        event.stop()
        event.prevent_default()
        if self.is_current:
            self.dismiss(event.key == "y" and time.monotonic() - self._shown_at > READING)
