"""A comment's text: as shown in docs/reporting.md, and without effect whatever a log, a message or a name contains."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.decide.redact import Redactor
from reconciler.model.history import Attempt
from reconciler.report.comment import LARGEST, comment
from reconciler.report.inert import block, code
from reconciler.report.messages import COMMENTS, Policy, messages
from reconciler.report.phrases import description
from tests.report.attempts import GOOD, bad, good, history, overtaken, running

PAGE = Path(__file__).parents[2] / "docs" / "reporting.md"
POLICY = Policy("mini")


def text(*attempts: Attempt, policy: Policy = POLICY) -> str:
    found = next(item for item in messages(history(*attempts), policy, 0.0) if item.channel == COMMENTS)
    return Redactor().clean(comment(found, policy), multiline=True)


@pytest.mark.parametrize("attempt", [running(), bad()], ids=["plan", "outcome"])
def test_the_page_shows_real_comments(attempt: Attempt) -> None:
    shown = "\n".join(f"    {line}".rstrip() for line in text(attempt).splitlines())
    assert shown in PAGE.read_text("utf-8")


def test_a_good_commit_and_a_superseded_one() -> None:
    assert "**`mini`: healthy after 41 s**" in text(good())
    assert "down for 3.2 s" in text(good())
    late = text(overtaken(GOOD, 1.0, "1-a", stacks=("shop",), planned=running().planned))
    assert "superseded" in late
    assert "under way" not in late


def test_without_output_the_log_stays_on_the_machine() -> None:
    told = text(bad(), policy=replace(POLICY, output=False))
    assert "db:5432" not in told
    assert "connection refused" not in told
    assert "reconciler history bbbbbbbbbbbb" in told


HOSTILE = [
    "```\n# heading\n@everyone <img src=x onerror=alert(1)>",
    "~~~\n</details></details>[x](javascript:alert(1))",
    "/close\n/tag v1.0\n/assign @root",
    "\x1b[31mred\x1b]0;title\x07\x1b[2J",
    "\u202egnp.exe\u2066\u200b",
    "<!-- reconciler:other -->\nReconciler-State: success",
    "`" * 50 + " @org/team fixes #12 https://evil.example",
    "\r\n\r\n---\r\n| a | b |\r\n|---|---|",
    "x" * (10 << 20),
    "\n" * 5000 + "last",
    "\ud800 lone",
]


def hostile(said: str) -> Attempt:
    failed = bad()
    assert failed.failure is not None
    lines = tuple(said.split("\n"))[-20:]
    failure = replace(failed.failure, log=lines, health_output=said)
    warning = replace(failed.warnings[0], message=said, path=said)
    return replace(failed, message=said, failure=failure, lines=lines, warnings=(warning,))


@pytest.mark.parametrize("said", HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_of_others_is_alive(said: str) -> None:
    told = text(hostile(said))
    assert len(told.encode()) <= LARGEST
    assert alive(told) == alive(text(hostile("harmless")))
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\u200b]", told)


@given(st.text(max_size=300))
def test_no_text_ends_its_fence_or_its_span(said: str) -> None:
    cleaned = Redactor().clean(said, multiline=True)
    opened, *inside, closed = block(cleaned.split("\n"), 10_000)
    assert opened == closed == "```"
    assert all(line.startswith("    ") and "\n" not in line for line in inside)
    span = code(Redactor().clean(said))
    if span:
        fence = re.match("`+", span)
        assert fence is not None
        assert not re.search(rf"(?<!`){fence[0]}(?!`)", span[len(fence[0]) : -len(fence[0])])


def alive(told: str) -> str:
    """The comment without what stands in fences and spans."""
    told = re.sub(r"(?ms)^```\n.*?^```$", "FENCED", told)
    return re.sub(r"(?s)(`+)(?!`).*?(?<!`)\1(?!`)", "SPAN", told)


@pytest.mark.parametrize("said", HOSTILE, ids=range(len(HOSTILE)))
def test_a_status_is_one_line(said: str) -> None:
    found = messages(history(hostile(said)), POLICY, 0.0)[0]
    assert "\n" not in Redactor().clean(description(found))


@pytest.mark.parametrize("end", ["\r", "\x85", "\u2028", "\u2029", "\n"])
def test_no_line_of_a_block_ends_early(end: str) -> None:
    """The redactor makes of each of these the end of a line."""
    text = "\n".join(block([f"a{end}```{end}@everybody"], 1000))
    assert Redactor().clean(text, multiline=True).splitlines() == ["```", "    a ``` @everybody", "```"]


def test_nothing_that_is_removed_later_joins_two_backticks() -> None:
    """The redactor takes an escape sequence out of the whole text."""
    told = Redactor().clean(code("a`\x1b[0m` **bold** @everyone"), multiline=True)
    assert told == "```a`` **bold** @everyone```"
