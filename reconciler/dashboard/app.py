"""The terminal program: its first screen and the actions of its keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Key, Resize
from textual.reactive import Reactive
from textual.screen import Screen
from textual.widget import Widget

from reconciler.dashboard.lines import Lines, Rows
from reconciler.dashboard.overview import head, services
from reconciler.dashboard.screens import HELP, NAME, CommitsView, LogView, Question, TextView, verb_view
from reconciler.dashboard.threads import Doors, Newest
from reconciler.dashboard.view import View
from reconciler.record.text.layout import Style, plural, short
from reconciler.record.text.logs import LogText

TICK = 0.25
"""Seconds between two looks at what the threads have found. A tick without news draws nothing."""

QUESTIONS = {
    "suspend": "The agent changes nothing on {host} until it is resumed.",
    "resume": "The agent of {host} works again: it corrects drift and rolls out the branch's head.",
    "retry": "The agent tries {commit} again, if it is the branch's head. Delays begin anew.",
    "accept": "{commit} is accepted, if it is held. After a failed rollback this accepts what runs now.",
}


class Dashboard(App[None]):
    """Uses the terminal's own colours; `colour` False: no colour, only bold, dim and reversed text.

    `begin`: called after the first draw.
    """

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { layout: vertical; overflow: hidden; }
    #heading, #keys, #columns, #typing { height: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+c", "quit", show=False, priority=True)]
    theme: Reactive[str] = Reactive("ansi-dark")

    def __init__(self, doors: Doors, newest: Newest, colour: bool, begin: Callable[[], None] = lambda: None) -> None:
        super().__init__(ansi_color=True)
        self._begin = begin
        self.animation_level = "none"
        self.doors, self.newest, self._colour = doors, newest, colour

    @property
    def failure(self) -> Exception | None:
        """The unexpected exception that ended the program, None if there was none."""
        return self._exception

    def style_now(self) -> Style:
        return Style(self._colour, max(20, self.size.width))

    def get_default_screen(self) -> Screen[None]:
        return Overview(self.doors, self.style_now, self.newest)

    def on_mount(self) -> None:
        self.set_interval(TICK, self._tick)
        self.call_after_refresh(self._begin)

    def _tick(self) -> None:
        if self.doors.ended():
            self.exit()
        elif isinstance(self.screen, View):
            self.screen.look()

    def on_key(self, event: Key) -> None:
        if isinstance(self.screen, View) and self.screen.late(event):
            event.prevent_default()

    def _fatal_error(self) -> None:
        """End without Textual's traceback: it prints values of variables, which may be secrets."""
        self._close_messages_no_wait()


class Overview(View):
    """The first screen."""

    KEYS = "enter log  / filter  h commits  p plan  d doctor  s suspend  ? help  q quit"
    TYPES = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,l", "log", show=False),
        Binding("slash", "filter", show=False),
        Binding("h", "commits", show=False),
        Binding("p", "verb('plan')", show=False),
        Binding("d", "verb('doctor')", show=False),
        Binding("s", "suspend", show=False),
        Binding("u", "change('resume')", show=False),
        Binding("t", "change('retry')", show=False),
        Binding("a", "change('accept')", show=False),
        Binding("question_mark", "help", show=False),
    ]

    def __init__(self, doors: Doors, style: Callable[[], Style], newest: Newest) -> None:
        super().__init__(doors, style)
        self._newest, self._text, self._wanted = newest, LogText(NAME), ""
        self._head, self._columns, self._rows = Lines(id="head"), Lines(id="columns"), Rows()
        self._tail = Lines(tail=True)
        self._head.can_focus = self._columns.can_focus = self._tail.can_focus = False
        self._made_of: object = None
        self._logged: object = None

    @property
    def body(self) -> Widget:
        return self._rows

    def compose(self) -> ComposeResult:
        yield self._head
        yield self._columns
        yield self._rows
        yield self.heading
        yield self._tail
        yield self.keys

    def on_resize(self, event: Resize) -> None:
        self._made_of = self._logged = None

    def look(self) -> None:
        self._look_at_host()
        self._look_at_logs()

    def _look_at_host(self) -> None:
        doors, style = self.doors, self.style_now()
        now, snapshot = doors.clock(), doors.board.newest
        age = int(now - snapshot.at) // 2  # draw an old snapshot again, because its age is shown
        made_of = (doors.board.version, age, style, self._wanted, self._rows.first)
        if made_of == self._made_of:
            return
        self._made_of = made_of
        lines = head(snapshot, now, style)
        table = services(snapshot, doors.samples, self._wanted, style)
        self._arrange(len(lines), len(table.rows))
        self.put(self._head, lines)
        self.put(self._columns, [style.paint(table.head, "dim")])
        self._rows.fill(table.keys, table.rows)
        first, height = self._rows.first, self._rows.room
        told = plural(table.whole, "service")
        told = f"{len(table.rows)} of {told}" if self._wanted else told
        if len(table.rows) > height:
            told += f", {first + 1} to {min(len(table.rows), first + height)}"
        self.entitle(told, f"filter: {self._wanted}" if self._wanted else "newest log lines")

    def _arrange(self, head: int, rows: int) -> None:
        """Below the head, the table gets up to two thirds of the rows; the log gets the rest."""
        height = self.size.height
        head = min(head, height // 2)
        left = max(2, height - head - 3)
        self._head.styles.height = head
        self._rows.styles.height = self._rows.room = max(1, min(rows, left * 2 // 3))

    def _look_at_logs(self) -> None:
        style, lines, error = self.style_now(), self._newest.lines, self._newest.error
        if (lines, error, style) == self._logged:
            return
        self._logged = (lines, error, style)
        text = [self._text(row, style.colour) for row in lines[-self.size.height :]]
        self._tail.show([*text, *([style.paint(f"log: {error}", "bad")] if error else [])])

    # -- keys --------------------------------------------------------------------------------------------------

    def action_leave(self) -> None:
        self.app.exit()

    def action_escape(self) -> None:
        if self.typing:
            super().action_escape()
        self._filter("")

    def action_log(self) -> None:
        if self._rows.chosen is not None:
            self.app.push_screen(LogView(self.doors, self.style_now, self._rows.chosen))

    def action_filter(self) -> None:
        self.type_in("only services with this in their name or state", self._filter, live=True, value=self._wanted)

    def _filter(self, text: str) -> None:
        self._wanted = text
        self._look_at_host()

    def action_commits(self) -> None:
        self.app.push_screen(CommitsView(self.doors, self.style_now, self.change))

    def action_help(self) -> None:
        self.app.push_screen(TextView(self.doors, self.style_now, "help", lambda style: HELP.splitlines()))

    def action_verb(self, verb: str) -> None:
        self._run([verb], verb)

    def action_change(self, verb: str) -> None:
        status = self.doors.board.newest.status
        self.change(verb, status["source"]["head"] if status else None)

    def action_suspend(self) -> None:
        def typed(reason: str) -> None:
            if reason.strip():
                self.change("suspend", None, reason.strip())

        self.type_in("why? (the reason is in `status`; nothing is changed yet)", typed)

    def change(self, verb: str, revision: str | None, reason: str = "") -> None:
        """Ask for a yes, then run the verb. `revision`: the argument of `retry` and `accept`."""
        about = verb in ("retry", "accept")
        if about and revision is None:
            self.say("the branch's head is not known yet")
            return
        words = [verb, *([str(revision)] if about else []), *(["--reason", reason] if reason else [])]
        title = f"{verb} {short(revision)}" if about else verb
        question = QUESTIONS[verb].format(host=self.doors.host, commit=short(revision))
        told = [f"{title}?", "", question, *([f"reason: {reason}"] if reason else [])]

        def answered(yes: bool | None) -> None:
            if yes:
                self._run(words, title)

        self.app.push_screen(Question(told), answered)

    def _run(self, words: Sequence[str], title: str) -> None:
        self.app.push_screen(verb_view(self.doors, self.style_now, words, title))
