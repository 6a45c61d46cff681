"""Warnings of a commit are shown with its end: in the turn, in `history` and in the note."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from reconciler.decide.history.compaction import compacted
from reconciler.decide.history.fold_state import WARNED, WARNED_TEXT, warning_of, warning_records
from reconciler.decide.history.folding import fold
from reconciler.decide.status.status import judge
from reconciler.model.history import Attempt
from reconciler.model.outcome import Intent, Level, Outcome, Reason, Violation
from reconciler.model.status import Agent, SourceFacts, StatusFacts
from reconciler.record import summary, text
from reconciler.record.reporter import report
from reconciler.record.text.layout import Style
from reconciler.verbs.agent import AgentVerbs, Progress
from tests.fakes.behaviour import crashing
from tests.fakes.life import Life, service

LATEST = {"web": service("web:latest"), "api": service("api:latest")}
SHOWN = "shop.yaml:1:23: warn mutable-tag ×2  service web: image web:latest has no fixed…"


def once(life: Life) -> Mapping[str, Any]:
    verbs = AgentVerbs(life.cycle, life.machine.effects, Progress(life.machine.clock), life.machine.clock)
    _, document = verbs.once(lambda line: None)
    return document


def last(life: Life) -> Attempt:
    attempt = life.cycle.history.last
    assert attempt is not None
    return attempt


def warnings(*rules: str, message: str = "m") -> list[Violation]:
    places = enumerate(rules, 1)
    return [Violation(Reason.POLICY_VIOLATION, rule, message, "", "a", n, 1, level=Level.WARN) for n, rule in places]


def attempt(found: list[Violation]) -> Attempt:
    return Attempt("1", "a" * 40, Intent.ADVANCE, 0.0, outcome=Outcome.SUCCEEDED, warnings=tuple(found))


@pytest.mark.parametrize("end", [Outcome.SUCCEEDED, Outcome.ROLLED_BACK])
def test_turn_history_and_note_tell_them(end: Outcome) -> None:
    life = Life()
    if end is Outcome.ROLLED_BACK:
        life.behave("web:latest", crashing(0.1))
    life.push(**LATEST)
    document = once(life)
    assert document["outcome"] == end
    assert [(item["rule"], item["service"], item["level"]) for item in document["warnings"]] == [
        ("mutable-tag", "web", "warn"),
        ("mutable-tag", "api", "warn"),
    ]
    assert SHOWN in text.render(document, Style(), 0).splitlines()
    history = summary.history([last(life)])
    assert history["attempts"][0]["warnings"] == document["warnings"]
    assert SHOWN in text.render(history, Style(), 0).splitlines()
    assert SHOWN in report("mini", last(life), 20).lines


def test_a_commit_that_is_held_before_an_attempt_is_warned_of_as_well() -> None:
    life = Life()
    life.machine.add_foreign("holder", 1 << 20, [("0.0.0.0", 8080, "tcp")])
    ports = [{"mode": "ingress", "target": 80, "published": "8080", "protocol": "tcp"}]
    sha = life.push(web=service("web:latest", ports=ports), api=service("api:latest"))
    for _ in range(2):  # recorded once, told by each turn
        document = once(life)
        assert (document["outcome"], document["attempt"]) == ("Failed", None)
        assert {item["rule"] for item in document["warnings"]} >= {"mutable-tag"}
        assert SHOWN in text.render(document, Style(), 0).splitlines()
    (held,) = life.cycle.history.held
    assert [item.rule for item in held.warnings] == [item["rule"] for item in document["warnings"]]
    assert summary.history([], held=[held])["attempts"][0]["warnings"] == document["warnings"]
    facts = StatusFacts("mini", Agent(True), SourceFacts("", "main", sha), life.cycle.history)
    status = summary.status(facts, judge(facts))
    assert status["warnings"] == document["warnings"]
    assert SHOWN in text.render(status, Style(), 0).splitlines()
    life.machine.foreign.clear()
    assert once(life)["outcome"] == "Succeeded"
    facts = replace(facts, history=life.cycle.history)
    assert summary.status(facts, judge(facts))["warnings"] == document["warnings"]


def test_a_commit_that_waits_for_consent_is_warned_of_as_well() -> None:
    life = Life()
    life.push(web=service("web:1"), db=service("db:1"), app=service("app:1"))
    life.turn()
    life.push(web=service("web:latest"))
    document = once(life)
    assert (document["outcome"], document["reason"]) == ("Held", "ConsentMissing")
    assert [item["rule"] for item in document["warnings"]] == ["mutable-tag"]


def test_nothing_is_told_of_a_commit_without_any() -> None:
    life = Life()
    life.push(web=service("web:1"))
    document = once(life)
    assert document["warnings"] == []
    assert "warn" not in text.render(document, Style(), 0)
    assert "warn" not in text.render(summary.history([last(life)]), Style(), 0)
    assert not any("warn" in line for line in report("mini", last(life), 20).lines)
    assert not any("warnings" in record for record in life.journal.lines)
    assert once(life)["warnings"] == []


def test_the_text_of_a_turn_with_warnings() -> None:
    found = warnings("mutable-tag", "anonymous-volume", "mutable-tag", message="what is better done otherwise")
    document = summary.turn(
        outcome=Outcome.SUCCEEDED,
        reason=Reason.RECONCILIATION_SUCCEEDED,
        message="healthy; no service had to change",
        effects=0,
        duration=2.0,
        revision="4f2c9e1" + "0" * 33,
        warnings=found,
    )
    assert text.render(document, Style(), 0).splitlines() == [
        "4f2c9e1  Succeeded after 2s, 0 effects",
        "healthy; no service had to change",
        "a:2:1: warn anonymous-volume  what is better done otherwise",
        "a:1:1: warn mutable-tag ×2  what is better done otherwise",
    ]


@pytest.mark.parametrize("number", [20, 21, 50])
def test_a_note_has_no_more_than_twenty_lines_of_them(number: int) -> None:
    lines = report("mini", attempt(warnings(*(f"rule-{n}" for n in range(number)))), 20).lines
    assert len(lines) == 20
    assert lines[-1] == (
        "a:20:1: warn rule-19  m" if number == 20 else f"and {number - 19} more: `reconciler history aaaaaaaaaaaa`"
    )


def test_the_journal_keeps_some_of_each_rule_within_bounds() -> None:
    found = warnings(*["many"] * 500, "one")
    kept = [warning_of(record) for record in warning_records(found)]
    assert kept == [*found[: WARNED - 1], found[-1]]
    long = warning_records(warnings(*["many"] * 90, message="x" * 2000))
    assert 0 < sum(len(record["message"]) for record in long) <= WARNED_TEXT


def test_a_newer_journal_may_know_more_of_a_warning_but_not_less() -> None:
    (record,) = warning_records(warnings("one"))
    assert warning_of(record | {"more": 1}) == warnings("one")[0]
    del record["rule"]
    with pytest.raises(TypeError):
        warning_of(record)


def test_a_journal_that_is_shortened_forgets_those_of_old_commits() -> None:
    life = Life()
    for n in range(4):
        life.push(web=service("web:latest", labels={"n": str(n)}))
        life.turn()
    kept = [bool(item.warnings) for item in fold(compacted(life.journal.lines, recent=1)).attempts]
    assert kept == [False, False, False, True]
