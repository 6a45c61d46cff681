"""Texts for people: their layout, their limits, and that they leave nothing important out."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.decide.status.status import judge
from reconciler.model.admission import Budget, Needs, Row
from reconciler.model.desired import DesiredState, Service, Stack
from reconciler.model.documents import GIB, MIB, Exports, Memory
from reconciler.model.history import Attempt, Bad, Good, History, ServiceRecord
from reconciler.model.observed import COMPOSE_PROJECT, Container, Foreign, ObservedState, ObservedVolume
from reconciler.model.outcome import Failure, Intent, Level, Outcome, Reason, Violation
from reconciler.model.plan import Action, Downtime, Outlook, Plan, Step
from reconciler.model.status import Agent, Rollout, SourceFacts, StatusFacts
from reconciler.record import summary, text
from reconciler.record.contract import Document, moment
from reconciler.record.text import layout
from reconciler.record.text.layout import Style

NOW = 1_800_000_000.0
GOOD, BAD = "4f2c9e1" + "0" * 33, "9a8b7c6" + "1" * 33
PLAIN = Style()
FAILURE = Failure(
    Reason.HEALTH_CHECK_FAILED,
    "shop/web has been unhealthy for 30 s",
    "shop",
    "web",
    None,
    "wget: server returned error\n500",
    ("listening on 80", "GET / 500"),
)
DENIAL = Violation(
    Reason.POLICY_VIOLATION,
    "privileged",
    "service web asks for privileged mode",
    "remove it, or have the operator grant it in the agent's config",
    "compose/shop/compose.yaml",
    4,
    5,
)
WARNING = Violation(
    Reason.POLICY_VIOLATION, "no-limit", "no limit", "set one", level=Level.WARN, stack="shop", service="db"
)


def lines(document: Document, style: Style = PLAIN) -> list[str]:
    return text.render(document, style, NOW).splitlines()


def service(name: str, memory: int = 64 * MIB, replicas: int = 1) -> Service:
    return Service("shop", name, "spec", {}, "sha256:1", "image:1", replicas, memory, False, 10, "always")


def facts(*services: Service, health: str = "healthy", head: str = GOOD, branch: str = "main") -> StatusFacts:
    """A host whose services were started 12 s ago; the first of them uses 31 MiB."""
    seen = [
        Container(
            f"id-{item.name}",
            f"shop-{item.name}-1",
            "shop",
            item.name,
            1,
            "running",
            health,
            spec="spec",
            host="mini",
            memory=item.memory,
            started_at=moment(NOW - 12) or "",
        )
        for item in services
    ]
    return StatusFacts(
        host="mini",
        agent=Agent(True, 12),
        source=SourceFacts("/srv/git/home.git", branch, head, NOW),
        history=History(
            (Attempt("1", GOOD, Intent.ADVANCE, NOW, outcome=Outcome.SUCCEEDED),),
            Good(GOOD, "key", NOW - 12),
        ),
        desired=DesiredState("mini", GOOD, "key", Memory(), (Stack("shop", services, (), ()),)),
        observed=ObservedState(tuple(seen), memory_total=24 * GIB, complete=True),
        usage={f"id-{services[0].name}": 31 * MIB},
    )


def status(known: StatusFacts, style: Style = PLAIN) -> list[str]:
    return lines(summary.status(known, judge(known)), style)


def changed(known: StatusFacts, **changes: object) -> StatusFacts:
    return replace(known, **changes)  # type: ignore[arg-type]


def test_status_of_a_host_that_is_fine() -> None:
    assert status(facts(service("web"), service("database", 1000 * MIB))) == [
        "mini  main 4f2c9e1  Synced  Healthy   last good 4f2c9e1, 12 s ago",
        "STACK  SERVICE   STATE    MEMORY        SINCE",
        "shop   web       Healthy  31 / 64 MiB   12 s",
        "shop   database  Healthy  - / 1000 MiB  12 s",
        "budget 1.1 of 14.0 GiB now, steady 1.1 of 11.2 GiB",
    ]


def test_an_engine_without_statistics_is_told_and_nothing_is_zero() -> None:
    shown = status(changed(facts(service("web")), usage={}))
    assert shown[2].split("Healthy")[1].startswith("  - / 64 MiB")
    assert shown[-1] == "memory is not measured: the engine gives no statistics of its containers"


def test_status_of_a_reverted_commit_says_why_and_what_is_never_tried_again() -> None:
    failed = Attempt(
        "2",
        BAD,
        Intent.ADVANCE,
        NOW - 90,
        outcome=Outcome.ROLLED_BACK,
        reason=Reason.HEALTH_CHECK_FAILED,
        message="shop/web has been unhealthy for 30 s",
        ended_at=NOW - 12,
        reverted_to=GOOD,
    )
    known = facts(service("web"), head=BAD)
    quarantined = {BAD: Bad(BAD, "key", Reason.HEALTH_CHECK_FAILED, NOW - 12)}
    known = changed(known, history=History((*known.history.attempts, failed), known.history.last_good, quarantined))
    shown = status(known)
    assert shown[:2] == [
        "mini  main 9a8b7c6  OutOfSync  Healthy   last good 4f2c9e1",
        "HealthCheckFailed: shop/web has been unhealthy for 30 s",
    ]
    assert shown[-1] == "never tried again: 9a8b7c6 (HealthCheckFailed)"


def test_status_during_a_rollout_names_the_step() -> None:
    rollout = Rollout("2", BAD, Intent.ADVANCE, 3, 9, Action.WAIT_HEALTHY, "shop", "web", NOW - 15)
    shown = status(changed(facts(service("web"), head=BAD), rollout=rollout))
    assert shown[1] == "Advance to 9a8b7c6: step 3 of 9, WaitHealthy shop/web, since 15 s"


def test_status_remarks_what_a_person_should_know() -> None:
    known = facts(service("web"))
    assert known.observed is not None
    crowded = replace(
        known.observed,
        foreign=(Foreign("x", "theirs", 300 * MIB),),
        volumes={"shop_old": ObservedVolume(labels={COMPOSE_PROJECT: "shop"})},
    )
    shown = "\n".join(status(changed(known, agent=Agent(False), observed=crowded)))
    assert ", others 308 MiB" in shown
    assert "kept volumes that nothing uses: shop_old" in shown
    assert "the agent is not running: `reconciler run` starts it" in shown


def test_status_shows_counts_where_not_every_service_is_one_container() -> None:
    shown = status(facts(service("web"), service("worker", replicas=3)))
    assert shown[2] == "STACK  SERVICE  STATE               UP   MEMORY       SINCE"
    assert shown[4] == "shop   worker   Missing, OutOfSync  1/3  - / 192 MiB  12 s"


def test_status_without_the_engine_shows_no_invented_numbers() -> None:
    shown = status(changed(facts(service("web")), observed=None, engine_error="the engine does not answer"))
    assert shown[0].startswith("mini  main 4f2c9e1  Unknown  Unknown")
    assert shown[1] == "EngineUnavailable: the engine does not answer"
    assert shown[-1] == "budget - of 14.0 GiB now, steady 0.1 of 11.2 GiB"


def test_status_says_stalled_first() -> None:
    known = facts(service("web"))
    failed = Attempt("2", GOOD, Intent.REPAIR, NOW, outcome=Outcome.ROLLBACK_FAILED)
    known = changed(known, history=History((failed,), known.history.last_good))
    assert status(known)[1] == "stalled: a person is needed"


PLAN = Plan(
    Intent.ADVANCE,
    BAD,
    GOOD,
    (
        Step(1, Action.PULL, "shop", "web", None, "image nginx:1.27 is not here", GIB),
        Step(2, Action.STOP_CONTAINER, "shop", "web", "shop-web-1", "is replaced", GIB - 64 * MIB),
        Step(3, Action.WAIT_HEALTHY, None, None, None, "all at once for 10 s", GIB),
    ),
    (("shop", "web"),),
    (Downtime("shop", "web", 130.0),),
    GIB + 100 * MIB,
    13 * GIB,
)


def test_plan_shows_steps_causes_and_costs() -> None:
    assert lines(summary.plan(PLAN)) == [
        "Advance to 9a8b7c6, compared with 4f2c9e1: 3 steps",
        "#  ACTION         CONTAINER   WHY                            MEMORY",
        "1  Pull           shop/web    image nginx:1.27 is not here  1.0 GiB",
        "2  StopContainer  shop-web-1  is replaced                   960 MiB",
        "3  WaitHealthy    (all)       all at once for 10 s          1.0 GiB",
        "replaces shop/web",
        "shop/web is down for at most 2m10s while it is judged",
        "memory at most 1.1 of 13.0 GiB",
    ]


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (Downtime("shop", "web", 0.0, "start-first"), "shop/web is replaced start-first, without downtime"),
        (
            Downtime("shop", "web", 10.0, why="it may write x"),
            "shop/web is down for at most 10s while it is judged; it is replaced stop-first, because it may write x",
        ),
        (
            Downtime("shop", "web", 10.0, untried="it is a one-shot"),
            "shop/web is down for at most 10s while it is judged; it gets no trial, because it is a one-shot",
        ),
    ],
)
def test_plan_says_in_which_order_and_why(found: Downtime, told: str) -> None:
    shown = lines(summary.plan(replace(PLAN, downtime=(found,))))
    assert " ".join(line.strip() for line in shown[6:-1]) == told


def test_plan_without_steps() -> None:
    assert lines(summary.plan(Plan(Intent.REPAIR, GOOD, GOOD))) == ["Repair to 4f2c9e1: nothing to do"]


def test_plan_of_a_rejected_commit_shows_the_violations() -> None:
    outlook = Outlook(Outcome.REJECTED, Reason.POLICY_VIOLATION, "compose.yaml:4:5: as below", "as below")
    assert lines(summary.plan(Plan(Intent.ADVANCE, BAD, GOOD, violations=(DENIAL,)), outlook)) == [
        "a turn would reject 9a8b7c6 (PolicyViolation) and change nothing",
        "compose/shop/compose.yaml:4:5: deny privileged  service web asks for privileged",
        "    mode",
        "    hint: remove it, or have the operator grant it in the agent's config",
    ]


@pytest.mark.parametrize(("outcome", "verb"), [(Outcome.HELD, "hold {}"), (None, "not try {} now")])
def test_plan_of_a_commit_that_is_kept_from_being_tried_says_why_and_what_to_do(
    outcome: Outcome | None, verb: str
) -> None:
    outlook = Outlook(outcome, Reason.CONSENT_MISSING, "9a8b7c6 drops 3 of 4 services", "`reconciler accept 9a8b7c6`")
    assert lines(summary.plan(Plan(Intent.ADVANCE, BAD, GOOD), outlook)) == [
        f"a turn would {verb.format('9a8b7c6')} (ConsentMissing) and change nothing",
        "9a8b7c6 drops 3 of 4 services",
        "what to do: `reconciler accept 9a8b7c6`",
    ]
    shown = lines(summary.plan(PLAN, outlook))
    assert shown[0] == f"a turn would {verb.format('the commit')} (ConsentMissing) and correct last good"
    assert "Advance to 9a8b7c6, compared with 4f2c9e1: 3 steps" in shown


def test_plan_says_why_nothing_is_to_be_done() -> None:
    same = Outlook(Outcome.UNCHANGED, Reason.RECONCILIATION_SUCCEEDED, "the same content as 4f2c9e1, which runs")
    assert lines(summary.plan(Plan(Intent.ADVANCE, BAD, GOOD), same)) == [
        "Advance to 9a8b7c6, compared with 4f2c9e1: nothing to do",
        "the same content as 4f2c9e1, which runs",
    ]


def test_validation_puts_the_place_first_and_the_verdict_last() -> None:
    rows = (Row("shop", "web", 2, 64 * MIB, False), Row("shop", "db", 1, 512 * MIB, True))
    budget = Budget(14 * GIB, 11 * GIB, 512 * MIB, 640 * MIB, 704 * MIB, 0, rows)
    assert lines(summary.validation([DENIAL, WARNING], None, budget, ("images: no engine was asked",))) == [
        "compose/shop/compose.yaml:4:5: deny privileged  service web asks for privileged",
        "    mode",
        "    hint: remove it, or have the operator grant it in the agent's config",
        "shop/db: warn no-limit  no limit",
        "--all: every warning with its hint",
        "STACK  SERVICE       LIMIT",
        "shop   web      2 × 64 MiB",
        "shop   db          512 MiB  default: the file sets no limit",
        "steady 0.6 of 11.0 GiB, peak 0.7 of 13.5 GiB",
        "not checked: images: no engine was asked",
        "not valid: 1 violation, 1 warning",
    ]
    assert lines(summary.validation([WARNING]))[-1] == "valid: 1 warning"
    assert lines(summary.validation([])) == ["valid"]


def test_warnings_are_one_line_for_each_rule_and_what_costs_data_comes_first() -> None:
    data = replace(WARNING, rule="anonymous-volume", message="the volume at /data has no name", path="c.yaml", line=7)
    long = replace(WARNING, rule="mutable-tag", message="x" * 200, service="cache")
    document = summary.validation([WARNING, WARNING, long, WARNING, data])

    assert lines(document) == [
        "c.yaml:7: warn anonymous-volume  the volume at /data has no name",
        "shop/db: warn no-limit ×3  no limit",
        "shop/cache: warn mutable-tag  " + "x" * 49 + "…",
        "--all: every warning with its hint",
        "valid: 5 warnings",
    ]
    every = lines(document, replace(PLAIN, every=True))
    assert every.count("    hint: set one") == 5
    far = replace(long, path=f"compose/{'x' * 30}/compose.yaml", line=7)
    assert lines(summary.validation([far]))[:2] == [
        f"compose/{'x' * 30}/compose.yaml:7: warn mutable-tag",
        "    " + "x" * 75 + "…",
    ]
    assert lines(summary.plan(Plan(Intent.ADVANCE, BAD, GOOD, violations=(WARNING, WARNING))))[1:] == [
        "shop/db: warn no-limit ×2  no limit",
        "--all: every warning with its hint",
    ]


def test_needs_are_blocks_to_be_pasted_and_what_nothing_lifts_stands_first() -> None:
    where = {"stack": "shop", "service": "web"}
    command = ["--words=" + "x" * 40, "y z"]
    pinned = {"policy": "privileged", **where, "image": "web:1", "command": command, "reason": ""}
    binds = ({"path": "/srv", "stack": "shop", "service": "*", "read_only": False, "reason": ""},)
    found = Needs((pinned,), binds, {"proxy": Exports(("edge",), ("media",))}, {"shop": ("A", "B")}, (DENIAL,))
    shown = lines(summary.validation([DENIAL, WARNING], needs=found), Style(width=60))
    assert shown[0].startswith("compose/shop/compose.yaml:4:5: deny privileged")
    assert not any("no-limit" in line for line in shown)
    assert shown[shown.index("# In the agent's config, with a reason for each entry:") :] == [
        "# In the agent's config, with a reason for each entry:",
        "grants:",
        "  - policy: privileged",
        "    stack: shop",
        "    service: web",
        "    image: web:1",
        "    command:",
        '      - "--words=' + "x" * 40 + '"',
        '      - "y z"',
        '    reason: ""',
        "binds:",
        "  - path: /srv",
        "    stack: shop",
        "    service: '*'",
        "    read_only: false",
        '    reason: ""',
        "",
        "# In the Host document, at the stack proxy:",
        "exports: {networks: [edge], volumes: [media]}",
        "",
        "# In <secrets_dir>/shop.env, with their values:",
        "A=",
        "B=",
        "",
        "# Grants and binds are known once these are set: run it again then.",
        "",
        "not valid: 1 violation, 1 warning",
    ]
    nothing = Needs((), (), {}, {}, ())
    assert lines(summary.validation([], needs=nothing)) == ["valid"]


def test_history_is_a_table_and_a_single_attempt_has_details() -> None:
    good = Attempt(
        "1",
        GOOD,
        Intent.ADVANCE,
        NOW - 7200,
        outcome=Outcome.SUCCEEDED,
        ended_at=NOW - 7180,
        services=(ServiceRecord("shop", "web", "Created"), ServiceRecord("shop", "db", "Unchanged")),
    )
    bad = Attempt(
        "2",
        BAD,
        Intent.ADVANCE,
        NOW - 100,
        outcome=Outcome.ROLLED_BACK,
        reason=Reason.CRASHED,
        message="shop/web exited",
        ended_at=NOW - 12,
        before=GOOD,
        reverted_to=GOOD,
        failure=FAILURE,
    )
    assert lines(summary.history([bad, good])) == [
        "WHEN       COMMIT   INTENT   OUTCOME      TOOK  WHAT",
        "2 min ago  9a8b7c6  Advance  RolledBack  1m28s  Crashed: shop/web exited",
        "2 h ago    4f2c9e1  Advance  Succeeded     20s  Created shop/web",
    ]
    details = lines(summary.history([bad]))[2:]
    assert f"back to  {GOOD}" in details
    assert details[-3:] == ["last lines of shop/web:", "  | listening on 80", "  | GET / 500"]
    assert lines(summary.history([])) == ["no attempts are recorded"]


def test_turn_that_went_back_tells_migration_cause_rollback_and_remedy() -> None:
    document = summary.turn(
        outcome=Outcome.ROLLED_BACK,
        reason=Reason.HEALTH_CHECK_FAILED,
        message="shop/web has been unhealthy for 30 s",
        effects=23,
        duration=64.2,
        revision=BAD,
        intent=Intent.ADVANCE,
        reverted_to=GOOD,
        failure=FAILURE,
        services=(ServiceRecord("shop", "migrate", "RanOnce"), ServiceRecord("shop", "web", "Switched", 42.2)),
    )
    assert lines(document) == [
        "9a8b7c6  RolledBack (HealthCheckFailed) after 1m4s, 23 effects",
        "migration shop/migrate already ran",
        "shop/web has been unhealthy for 30 s",
        "the machine went back to 4f2c9e1",
        "  RanOnce shop/migrate",
        "  Switched shop/web, down for 42s",
        "last probe:",
        "  | wget: server returned error",
        "  | 500",
        "last lines of shop/web:",
        "  | listening on 80",
        "  | GET / 500",
        "what to do: fix it and push a new commit; this one is not tried again",
    ]


def test_turn_says_nothing_twice() -> None:
    told = "migration shop/migrate already ran; shop/web exited; back at 4f2c9e100000"
    document = summary.turn(
        outcome=Outcome.ROLLED_BACK,
        reason=Reason.CRASHED,
        message=told,
        effects=9,
        duration=5,
        revision=BAD,
        reverted_to=GOOD,
        hint="fix it",
        services=(ServiceRecord("shop", "migrate", "RanOnce"),),
    )
    assert lines(document) == [
        "9a8b7c6  RolledBack (Crashed) after 5s, 9 effects",
        told,
        "  RanOnce shop/migrate",
        "what to do: fix it",
    ]


def test_turn_that_was_rejected_names_the_place_once() -> None:
    document = summary.turn(
        outcome=Outcome.REJECTED,
        reason=Reason.POLICY_VIOLATION,
        message="compose/shop/compose.yaml:4:5: service web asks for privileged mode",
        effects=1,
        duration=0.3,
        revision=BAD,
        violations=(DENIAL,),
    )
    shown = lines(document)
    assert shown[:2] == [
        "9a8b7c6  Rejected (PolicyViolation) after 300ms, 1 effect",
        "compose/shop/compose.yaml:4:5: deny privileged  service web asks for privileged",
    ]
    assert "\n".join(shown).count("asks for privileged") == 1


def test_turn_that_went_back_to_nothing_says_what_became_of_it() -> None:
    document = summary.turn(
        outcome=Outcome.ROLLED_BACK, reason=Reason.CRASHED, message="web exited - twice", effects=9, duration=5
    )
    assert "nothing ran before: what it started was stopped, volumes were kept" in lines(document)


def test_turn_that_succeeded_is_short() -> None:
    document = summary.turn(
        outcome=Outcome.SUCCEEDED,
        reason=Reason.RECONCILIATION_SUCCEEDED,
        message="",
        effects=1,
        duration=14.0,
        revision=GOOD,
        services=(ServiceRecord("shop", "web", "Switched", 2.1),),
    )
    assert lines(document) == ["4f2c9e1  Succeeded after 14s, 1 effect", "  Switched shop/web, down for 2.1s"]


def test_turn_prefers_the_hint_that_knows_more() -> None:
    document = summary.turn(
        outcome=Outcome.REJECTED,
        reason=Reason.BUDGET_EXCEEDED,
        message="too much",
        effects=0,
        duration=1,
        hint="lower web",
    )
    assert lines(document)[-1] == "what to do: lower web"


def test_notify_test_has_a_line_for_each_target() -> None:
    told = [("ntfy://***", True, "accepted"), ("json://127.0.0.1:8080/***", False, "no route " * 20)]
    first, *rest = lines(summary.notify_test(told))
    assert first.split() == ["ntfy://***", "ok", "accepted"]
    assert rest[0].split()[:2] == ["json://127.0.0.1:8080/***", "FAILED"]
    assert all(len(line) <= 80 for line in rest)


def test_error_says_what_and_then_what_to_do() -> None:
    document = summary.error("Locked", "process 12 holds the state folder", "wait, or stop it", ["one", "two"])
    assert text.error(document, PLAIN).splitlines() == [
        "error: process 12 holds the state folder",
        "  one",
        "  two",
        "hint: wait, or stop it",
    ]
    single = summary.error("UsageInvalid", "a.yaml:3: is wrong", "", ["a.yaml:3: is wrong"])
    assert text.error(single, PLAIN) == "error: a.yaml:3: is wrong"


NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_.", min_size=1, max_size=90)


@given(name=NAMES, branch=NAMES, health=st.sampled_from(["healthy", "unhealthy", "starting"]))
def test_status_fits_eighty_columns(name: str, branch: str, health: str) -> None:
    shown = status(facts(service(name), service(name + "x", replicas=2), health=health, branch=branch[:40]))
    assert max(len(line) for line in shown) <= 80


@given(name=NAMES, cause=st.text("abc de", max_size=200))
def test_plan_fits_eighty_columns(name: str, cause: str) -> None:
    step = Step(123, Action.CREATE_CONTAINER, "shop", name, f"shop-{name}-1", cause, 1000 * MIB)
    assert max(len(line) for line in lines(summary.plan(Plan(Intent.REVERT, GOOD, BAD, (step,))))) <= 80


@given(message=st.text("abc de", max_size=300))
def test_history_fits_eighty_columns(message: str) -> None:
    attempt = Attempt(
        "1", BAD, Intent.ADVANCE, NOW - 3000, outcome=Outcome.ROLLBACK_FAILED, message=message, ended_at=NOW
    )
    assert max(len(line) for line in lines(summary.history([attempt, attempt]))) <= 80


def test_colours_change_nothing_but_the_colour() -> None:
    known = facts(service("web"), service("database"), health="unhealthy")
    painted = status(known, Style(colour=True))
    assert any("\x1b[31mDegraded\x1b[0m" in line for line in painted)
    assert [re.sub(r"\x1b\[[0-9]+m", "", line) for line in painted] == status(known)


def test_a_long_name_keeps_both_ends() -> None:
    assert layout.middle("shop-worker-eu-west-1", 11) == "shop-…est-1"
    assert layout.middle("web", 3) == "web"


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (1536, "1.5 KiB"), (64 * MIB, "64 MiB"), (14 * GIB, "14.0 GiB"), (None, "-")],
)
def test_sizes(count: int | None, shown: str) -> None:
    assert layout.size(count) == shown


@pytest.mark.parametrize(
    ("seconds", "roughly", "precisely"),
    [
        (0, "0 s", "0s"),
        (0.0401, "0 s", "40ms"),
        (2.13, "2 s", "2.1s"),
        (12, "12 s", "12s"),
        (130, "2 min", "2m10s"),
        (7200, "2 h", "2h"),
        (864000, "10 d", "240h"),
    ],
)
def test_times(seconds: float, roughly: str, precisely: str) -> None:
    assert layout.span(seconds) == roughly
    assert layout.exactly(seconds) == precisely


def test_a_time_in_the_future_is_now() -> None:
    assert layout.since(moment(NOW + 5), NOW) == "0 s"
