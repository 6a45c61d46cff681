"""What people should be told, from values alone; and the words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.model.history import Held
from reconciler.model.outcome import RETRIED, CommitState, Failure, Intent, Outcome, Reason
from reconciler.report.notice_text import BODY, TITLE, inert, of_commit, together
from reconciler.report.notices import Condition, Event, Standing, alerts_of, conditions, standing, verdicts
from tests.report.attempts import BACK, BAD, GOOD, back, bad, good, history, overtaken


def row(service: str, health: str, reason: str | None = None) -> dict[str, Any]:
    return {"stack": "shop", "service": service, "health": health, "reason": reason}


def status(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    document: dict[str, Any] = {
        "kind": "Status", "health": "Healthy", "stalled": False, "rollout": None, "suspended": None, "reason": None,
        "message": "", "source": {"head": GOOD, "error": None},
        "stacks": [{"name": "shop", "health": "Healthy", "services": list(rows)}],
    }  # fmt: skip
    return document | more


def of(event: Event, told: Any, now: Standing) -> Condition:
    return next(item for item in conditions(told, now) if item.event is event)


def facts(event: Event, **more: Any) -> tuple[str, ...] | None:
    rows = more.pop("rows", ())
    return of(event, more.pop("history", history(good())), standing(status(*rows, **more))).facts


@pytest.mark.parametrize(
    ("rows", "more", "found"),
    [
        ((row("web", "Healthy"),), {}, ()),
        ((row("web", "Healthy"), row("db", "Degraded", "Crashed")), {}, ("shop/db",)),
        ((row("web", "Missing"),), {}, ("shop/web",)),
        ((row("web", "Progressing"),), {}, None),
        ((row("web", "Unknown"),), {}, None),
        ((row("web", "Degraded"),), {"rollout": {"step": 1}}, None),
        ((row("web", "Degraded"),), {"suspended": {"reason": "holidays"}}, None),
        ((), {}, ()),
    ],
)
def test_services_that_do_not_work(rows: Any, more: Any, found: Any) -> None:
    """A service that starts, or of which nobody knows, neither begins nor ends a condition."""
    assert facts(Event.DEGRADED, rows=rows, **more) == found


def test_a_stack_that_the_commit_suspends_is_not_broken() -> None:
    document = status(row("web", "Missing"))
    document["stacks"][0]["health"] = "Suspended"
    assert of(Event.DEGRADED, history(), standing(document)).facts == ()


def test_what_is_not_a_status_says_nothing() -> None:
    assert standing(None) == standing({"kind": "Error"}) == Standing()
    assert all(not item.facts for item in conditions(history(), Standing()))
    assert not Standing().well


@pytest.mark.parametrize(
    ("more", "well"),
    [
        ({}, True), ({"health": "Progressing"}, True), ({"health": "Suspended"}, True),
        ({"health": "Degraded"}, False), ({"health": "Unknown"}, False), ({"stalled": True}, False),
    ],
)  # fmt: skip
def test_the_heartbeat_goes_on_while_the_host_works(more: Any, well: bool) -> None:
    assert standing(status(**more)).well is well


def test_a_person_is_needed() -> None:
    assert facts(Event.STALLED, stalled=True) == ("stalled",)
    assert facts(Event.STALLED) == ()
    assert facts(Event.STALLED, rollout={"step": 1}) is None


def held(outcome: Outcome, reason: Reason, revision: str = GOOD) -> Held:
    return Held(revision, outcome, reason, "because", "do this", 100.0)


def test_a_head_that_waits_for_a_person() -> None:
    told = history(good(), held=(held(Outcome.HELD, Reason.NOT_FAST_FORWARD),))
    assert facts(Event.HELD, history=told) == (f"{GOOD} NotFastForward",)
    assert facts(Event.ENVIRONMENT, history=told) == ()
    other = status() | {"source": {"head": BAD, "error": None}}
    assert of(Event.HELD, told, standing(other)).facts == ()
    suspended = history(good(), held=(held(Outcome.HELD, Reason.SUSPENDED),))
    assert facts(Event.HELD, history=suspended) == ()


def test_faults_of_the_environment() -> None:
    assert facts(Event.ENVIRONMENT) == ()
    assert facts(Event.ENVIRONMENT, source={"head": GOOD, "error": "no route"}) == ("FetchFailed",)
    assert facts(Event.ENVIRONMENT, reason="EngineUnavailable", message="gone") == ("EngineUnavailable",)
    told = history(good(), held=(held(Outcome.FAILED, Reason.DISK_FAILED),))
    assert facts(Event.ENVIRONMENT, history=told) == ("DiskFailed",)
    pull = replace(good(), outcome=Outcome.FAILED, reason=Reason.PULL_FAILED, final=False, state=None)
    assert facts(Event.ENVIRONMENT, history=history(pull)) == ("PullFailed",)
    assert facts(Event.ENVIRONMENT, history=history(pull), rollout={"step": 1}) is None
    assert facts(Event.ENVIRONMENT, history=history(pull), reason="ReconciliationSucceeded") == ()
    assert facts(Event.ENVIRONMENT, history=history(replace(pull, intent=Intent.REPAIR))) == ()


def test_verdicts_are_told_but_for_superseded_ones() -> None:
    told = history(good(), overtaken("d" * 40, 150.0, "9-d"), bad(), back())
    found = [(item.attempt.revision, item.fact, sorted(item.events)) for item in verdicts(told, 0.0)]
    assert found == [
        (GOOD, "success", ["success"]),
        (BAD, "failure", ["failure"]),
        (BACK, "success", ["recovered", "success"]),
    ]
    assert [item.attempt.revision for item in verdicts(told, 218.0)] == [BACK], "recovered, though the failure is old"


def test_a_retry_is_news_and_a_lost_end_of_the_journal_is_none() -> None:
    (first,) = verdicts(history(bad()), 0.0)
    (anew,) = verdicts(history(bad(name="7-f")), 0.0)
    (retried,) = verdicts(history(bad(lines=(f"{RETRIED}failure (Crashed) in attempt 2",))), 0.0)
    assert first.fact == anew.fact != retried.fact


def test_a_commit_that_does_not_fit_and_one_that_cannot_be_tried() -> None:
    (budget,) = verdicts(history(bad(reason=Reason.BUDGET_EXCEEDED)), 0.0)
    assert budget.events == {Event.FAILURE, Event.BUDGET}
    (given_up,) = verdicts(history(bad(state=CommitState.ERROR, outcome=Outcome.FAILED)), 0.0)
    assert given_up.events == {Event.FAILURE, Event.ENVIRONMENT}


def test_the_words_of_a_failure() -> None:
    (told,) = verdicts(history(bad()), 0.0)
    text = of_commit(told, "mini", 20, output=True)
    assert text.title == "mini: bbbbbbbbbbbb rolled back"
    assert text.body.splitlines() == [
        "HealthCheckFailed: shop/web is unhealthy; back at aaaaaaaaaaaa",
        "Running again: aaaaaaaaaaaa",
        "Push a correction, or: git revert bbbbbbbbbbbb. To try it again: reconciler retry bbbbbbbbbbbb",
        "health check: connection refused",
        "The last lines of shop/web:",
        "starting",
        "cannot connect to db:5432",
    ]
    hidden = of_commit(told, "mini", 20, output=False).body
    assert "connection refused" not in hidden
    assert "cannot connect" not in hidden


def test_the_words_of_a_recovery() -> None:
    *_, told = verdicts(history(good(), bad(), back()), 0.0)
    assert of_commit(told, "mini", 20, True).title == "mini: recovered: cccccccccccc healthy, nothing had to restart"


HOSTILE = [
    "<@123> <!channel> @everyone @here",
    "<b>bold</b> <script>alert(1)</script>",
    "[click](http://evil.example)",
    "![x](http://evil.example/x.png)",
    "`code` ```",
    "<http://evil.example|your bank>",
    "x" * 10_000_000,
]


@pytest.mark.parametrize("line", HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_of_a_log_is_alive(line: str) -> None:
    failure = Failure(Reason.CRASHED, line[:500], "shop", "web", 1, line, (line,) * 20)
    (told,) = verdicts(history(bad(message=line, failure=failure)), 0.0)
    text = of_commit(told, "mini", 20, True)
    title, body = inert(text.title, TITLE), inert(text.body, BODY)
    assert len(title) <= TITLE
    assert len(body) <= BODY
    assert not set(title + body) & set("<>@[]`")


def test_several_notices_in_one_message() -> None:
    text = together("mini", [(60.0 * n, f"mini: notice {n}") for n in range(25)])
    assert text.title == "mini: 25 notices"
    lines = text.body.splitlines()
    assert lines[0].startswith("5 earlier notices are left out")
    assert lines[-1].endswith("  notice 24")
    assert len(lines) == 21


def test_alerts_are_those_that_nothing_else_tells() -> None:
    rows = [
        {"name": "disk-low", "stack": None, "service": None, "about": "/", "message": "9 GiB free"},
        {"name": "memory-near-limit", "stack": "shop", "service": "db", "about": "shop-db-1", "message": "119 MiB"},
        {"name": "service-unhealthy", "stack": "shop", "service": "db", "about": None, "message": "Missing"},
        {"name": "agent-silent", "stack": None, "service": None, "about": "test", "message": "test: …"},
    ]
    document = {"evaluatedAt": "2023-11-14T22:13:20.000Z", "alerts": rows}
    found = alerts_of(document, 1_700_000_005.0, 60.0)
    memory = "memory-near-limit shop/db shop-db-1"
    assert found == (("disk-low /", "9 GiB free"), (memory, "119 MiB"), ("agent-silent test", "test: …"))
    assert alerts_of(document, 1_700_000_061.0, 60.0) is None
    assert alerts_of({}, 1_700_000_005.0, 60.0) is None
    assert alerts_of({**document, "alerts": [{"name": 3}]}, 1_700_000_005.0, 60.0) is None
    assert of(Event.ALERT, history(), Standing(alerts=found)).facts == tuple(name for name, _ in found)
