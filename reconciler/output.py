"""Writes a document, progress or an error to stdout and stderr. Everything is masked."""

from __future__ import annotations

import json
import os
import select
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from reconciler.decide.redact import Redactor
from reconciler.errors import ReconcilerError

if TYPE_CHECKING:
    from reconciler.record.text.layout import Style

Json = Mapping[str, Any]

WIDEST = 160
"""Columns. Longer lines are hard to read, even on a wide terminal."""

SEVERAL_LINES = frozenset({"healthOutput", "entrypoint", "command", "content"})
"""Fields whose text may keep its line ends and tabs; in any other text they could forge a line of ours.

Words of a pin are compared one by one with those of the service, and text for people quotes them.
"""


class Output:
    """The output of a command. `as_json`: stdout gets exactly one JSON document and nothing else."""

    def __init__(self, as_json: bool, colour: bool, redactor: Redactor) -> None:
        self._as_json, self._colour, self._redactor = as_json, colour, redactor

    def document(self, document: Json, every: bool = False) -> None:
        """Print the command's answer. `every`: in text, each warning with its hint."""
        clean = masked(document, self._redactor)
        if self._as_json:
            _write(sys.stdout, json.dumps(clean, indent=2, ensure_ascii=False))
        else:
            from reconciler.record import text

            _write(sys.stdout, text.render(clean, self._style(sys.stdout, every), time.time()))

    def progress(self, line: str) -> None:
        """One line about progress. If its reader is gone, the rollout must continue."""
        if not self._as_json:
            _write(sys.stdout, self._redactor.clean(line))

    def error(self, error: ReconcilerError) -> None:
        """Print why there is no answer: with JSON as the document, else on stderr."""
        from reconciler.record import summary  # imported here, because a successful call never needs it

        document = summary.error(error.reason.value, error.message, error.hint, error.details)
        if self._as_json:
            self.document(document)
        else:
            from reconciler.record import text

            _write(sys.stderr, text.error(masked(document, self._redactor), self._style(sys.stderr)))

    def _style(self, stream: TextIO, every: bool = False) -> Style:
        from reconciler.record.text.layout import Style

        terminal = stream.isatty()
        columns = shutil.get_terminal_size((80, 24)).columns if terminal else 80
        return Style(self._colour and terminal, min(max(columns, 80), WIDEST), every)


class Lines:
    """stdout of a verb that prints line by line, perhaps without an end. Its input must be masked already."""

    def __init__(self, as_json: bool, colour: bool) -> None:
        self._as_json, self._colour = as_json, colour and sys.stdout.isatty()

    def show(self, parts: Iterable[Sequence[Json]], text: Callable[[Json, bool], str]) -> None:
        """Print all parts, or until nobody reads. `text`: makes a line for people, with colours or without. An empty
        part means that nothing came for a moment."""
        for part in parts:
            if part:
                rows = [
                    json.dumps(row, ensure_ascii=False) if self._as_json else text(row, self._colour) for row in part
                ]
                if not _write(sys.stdout, "\n".join(rows)):
                    return
            elif _nobody_reads(sys.stdout):
                return


def colours_wanted(no_color: bool, environ: Mapping[str, str]) -> bool:
    """Whether neither the option nor the environment switches colours off (no-color.org: any value that is not
    empty)."""
    return not no_color and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def masked(value: Any, redactor: Redactor, several_lines: bool = False) -> Any:
    """The document with every text masked by the redactor. Keys are ours and stay."""
    if isinstance(value, str):
        return redactor.clean(value, multiline=several_lines)
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, list | tuple):
        return [masked(item, redactor, several_lines) for item in value]
    if isinstance(value, Mapping):
        return {key: masked(item, redactor, key in SEVERAL_LINES) for key, item in value.items()}
    return value


def _write(stream: TextIO, line: str) -> bool:
    """Write a line, as UTF-8 in every locale; returns whether that worked. A missing reader is ignored; a full disk is
    reported once."""
    try:
        stream.buffer.write(f"{line}\n".encode(errors="replace"))
        stream.buffer.flush()
    except BrokenPipeError:
        _discard(stream)
        return False
    except OSError as error:
        _discard(stream)
        if stream is sys.stdout:
            _write(sys.stderr, f"error: cannot write to stdout: {error.strerror}")
        return False
    return True


def _nobody_reads(stream: TextIO) -> bool:
    """Whether the reader of a pipe has gone."""
    mode = os.fstat(stream.fileno()).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return False
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _discard(stream: TextIO) -> None:
    """Discard later writes, and the interpreter's own last flush."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
