"""Compose's own errors point at the lines in the user's files."""

from __future__ import annotations

import pytest

from reconciler.decide.read.rejected import placed
from reconciler.decide.read.scan import Scan, scan
from reconciler.model.documents import StackDocument
from reconciler.model.outcome import Reason, Violation
from tests.commits import CommitFiles

COMPOSE = """\
services:
  web:
    image: a
    comand: [x]
    ports:
      - "80"
      - {targett: 1}
  db: {image: b, frobnicate: 1}
"""


def scanned() -> Scan:
    return scan(CommitFiles({"c.yaml": COMPOSE}), StackDocument("shop", ("c.yaml",)), {})


def rejection(pointer: str | None, line: int | None = None) -> Violation:
    return Violation(Reason.SCHEMA_INVALID, "compose-rejects", "no", "look.", "other.yaml", line, pointer=pointer)


@pytest.mark.parametrize(
    ("pointer", "line", "column", "hint"),
    [
        ("/services/web/comand", 4, 5, "Did you mean 'command'? look."),
        ("/services/web/ports/1/targett", 7, 10, "Did you mean 'target'? look."),
        ("/services/db/frobnicate", 8, 18, "look."),
        ("/services/web/image", 3, 5, "look."),
        ("/services/web", 2, 3, "look."),
        ("/services/none", 1, 1, "look."),
    ],
)
def test_a_pointer_becomes_a_place(pointer: str, line: int, column: int, hint: str) -> None:
    (found,) = placed([rejection(pointer)], scanned())
    assert (found.path, found.line, found.column, found.hint) == ("c.yaml", line, column, hint)


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("Compose rejects it: Invalid hostPort: 70000", 6),
        ("Compose rejects it: Invalid ip address x:y: address x:y:: too many colons in address", 7),
        ("Compose rejects it: Invalid ip address: localhost", 8),
        ("Compose rejects it: Invalid ip address ::1: address ::1:: too many colons in address", 10),
        ("Compose rejects it: Invalid ranges specified for container and host Ports: 90-91 and 8000-8003", 9),
        ('Compose rejects it: unsupported env_file format "shell"', 13),
        ("Compose rejects it: Invalid hostPort: 80", None),
        ("Compose rejects it: invalid compose project", None),
    ],
)
def test_a_value_that_is_called_invalid_is_found_where_one_value_has_it(message: str, line: int | None) -> None:
    text = 'services:\n  web:\n    image: a\n    ports:\n      - "80"\n      - "70000:80"\n      - x:y:z\n'
    text += "      - localhost:1:2\n      - 8000-8003:90-91\n      - ::1:81:82\n"
    text += "    env_file:\n      - path: a.env\n        format: shell\n"
    found = scan(CommitFiles({"c.yaml": text}), StackDocument("shop", ("c.yaml",)), {})
    violation = Violation(Reason.SCHEMA_INVALID, "compose-rejects", message, "look.", "c.yaml")
    assert placed([violation], found)[0].line == line


@pytest.mark.parametrize(
    ("pointer", "words", "hint"),
    [
        ("/services/web/healthcheck/interval", "must be a string", "Write it with a unit (30s). look."),
        ("/services/web/environment/DAY", "invalid jsonType time.Time", "Put the value into quotes. look."),
        ("/services/web/image", "must be a mapping", "look."),
    ],
)
def test_a_number_or_a_date_where_text_belongs_is_answered_with_its_form(pointer: str, words: str, hint: str) -> None:
    violation = Violation(Reason.SCHEMA_INVALID, "compose-rejects", words, "look.", "c.yaml", pointer=pointer)
    assert placed([violation], scanned())[0].hint == hint


@pytest.mark.parametrize("violation", [rejection(None), rejection("/services/web", line=9)])
def test_what_has_no_pointer_or_a_line_already_is_left_as_it_is(violation: Violation) -> None:
    assert placed([violation], scanned()) == (violation,)


@pytest.mark.parametrize(("told", "path"), [("failed to read a.env: ", "a.env"), ("", "c.yaml")])
def test_a_template_in_an_env_file_is_found_at_its_line(told: str, path: str) -> None:
    files = {"c.yaml": "services: {web: {image: a, env_file: [a.env]}}\n", "a.env": "A=1\nB=x$y${5}\n"}
    found = scan(CommitFiles(files), StackDocument("shop", ("c.yaml",)), {"y": "1"})
    message = f'Compose rejects it: {told}Invalid template: "x$y${{5}}"'
    (item,) = placed([Violation(Reason.SCHEMA_INVALID, "compose-rejects", message, "look.", path)], found)
    hint = "If the $ belongs to the value, put the value into single quotes ('a$b') or write $$. look."
    assert (item.path, item.line, item.hint) == ("a.env", 2, hint)
