"""Every document has exactly the fields of the contract and fits the published schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.decide.status.status import judge
from reconciler.model.admission import Budget, MemoryVolume, Needs, Row
from reconciler.model.alerts import Alert, Finding
from reconciler.model.desired import DesiredState, Service, Stack
from reconciler.model.documents import MIB, BindGrant, Exports, Grant, Memory
from reconciler.model.history import Attempt, Bad, Good, History, ServiceRecord
from reconciler.model.observed import Container, ObservedState
from reconciler.model.outcome import Failure, Intent, Level, Outcome, Reason, Violation
from reconciler.model.plan import Action, Downtime, Plan, Step
from reconciler.model.status import Agent, Health, Rollout, SourceFacts, StatusFacts, Sync
from reconciler.model.uses import Use
from reconciler.record import summary
from reconciler.record.contract import moment
from reconciler.record.summary_alerts import alerts
from reconciler.reference import output_schema

NOW = 1_800_000_000.25
HEAD = "b" * 40
SCHEMA = output_schema()


BUDGET = Budget(
    budget_bytes=1000 * MIB,
    steady_limit_bytes=800 * MIB,
    reserve_bytes=100 * MIB,
    steady_bytes=128 * MIB,
    peak_bytes=128 * MIB,
    over_bytes=0,
    rows=(Row("shop", "web", 2, 64 * MIB, default=True, overhead=8 * MIB),),
    volumes=(MemoryVolume("shop", "scratch", 4 * MIB),),
)
WARNING = Violation(Reason.POLICY_VIOLATION, "image-latest", "no version", "name one", level=Level.WARN)
DENIAL = Violation(
    Reason.POLICY_VIOLATION,
    "privileged",
    "web is privileged",
    "remove it",
    "compose/shop/compose.yaml",
    4,
    5,
    "/services/web/privileged",
    stack="shop",
    service="web",
)
FAILURE = Failure(Reason.CRASHED, "web exited", "shop", "web", 1, "no answer", ("starting", "giving up"))
SWITCHED = ServiceRecord("shop", "web", "Switched", 2.1234)
STEP = Step(1, Action.CREATE_CONTAINER, "shop", "web", "shop-web-1", "image changed", 64 * MIB, id="x", name="y")
PLAN = Plan(
    Intent.ADVANCE,
    HEAD,
    None,
    (STEP,),
    (("shop", "web"),),
    (Downtime("shop", "web", 130.0),),
    64 * MIB,
    900 * MIB,
    violations=(WARNING,),
)
ENDED = Attempt(
    "7",
    HEAD,
    Intent.ADVANCE,
    NOW,
    "key",
    Outcome.ROLLED_BACK,
    Reason.CRASHED,
    "web exited",
    NOW + 1.5,
    final=True,
    before="a" * 40,
    reverted_to="a" * 40,
    services=(SWITCHED,),
    failure=FAILURE,
)
OPEN = Attempt("8", HEAD, Intent.REPAIR, NOW)


def status_facts() -> StatusFacts:
    web = Service("shop", "web", "spec", {}, "sha256:1", "web:1", 1, 64 * MIB, False, 10, "always")
    seen = Container("id", "shop-web-1", "shop", "web", 1, "running", spec="spec", memory=64 * MIB)
    return StatusFacts(
        host="mini",
        agent=Agent(True, 12, "0.1.0", NOW),
        source=SourceFacts("/srv/git/home.git", "main", HEAD, NOW),
        history=History((ENDED,), Good("a" * 40, "key", NOW), {HEAD: Bad(HEAD, "key", Reason.CRASHED, NOW)}),
        desired=DesiredState("mini", HEAD, "key", Memory(), (Stack("shop", (web,), (), ()),)),
        observed=ObservedState((seen,), memory_total=2000 * MIB, complete=True),
        rollout=Rollout("8", HEAD, Intent.ADVANCE, 1, 9, Action.START_CONTAINER, "shop", "web", NOW),
    )


def emptiest_facts() -> StatusFacts:
    return StatusFacts("mini", Agent(False), SourceFacts("/srv/git/home.git", "main"), History())


def status(facts: StatusFacts) -> Mapping[str, Any]:
    return summary.status(facts, judge(facts))


NEEDS = Needs(
    ({"policy": "capability", "values": ["NET_ADMIN"], "stack": "shop", "service": "web", "reason": ""},),
    ({"path": "/srv", "stack": "shop", "service": "*", "read_only": False, "reason": ""},),
    {"proxy": Exports(("edge",), ("media",))},
    {"shop": ("A", "B")},
    (DENIAL,),
)
DOCUMENTS = {
    "validation": summary.validation([WARNING, DENIAL], HEAD, BUDGET, ("images: no engine",)),
    "validation, empty": summary.validation([]),
    "validation, needs": summary.validation([WARNING, DENIAL], HEAD, needs=NEEDS),
    "validation, no needs": summary.validation([], needs=Needs((), (), {}, {}, ())),
    "plan": summary.plan(PLAN),
    "plan, empty": summary.plan(Plan(Intent.REPAIR, HEAD, HEAD)),
    "turn": summary.turn(
        outcome=Outcome.ROLLED_BACK,
        reason=Reason.CRASHED,
        message="web exited",
        effects=9,
        duration=1.23456,
        revision=HEAD,
        intent=Intent.ADVANCE,
        attempt="7",
        reverted_to="a" * 40,
        hint="push a new commit",
        failure=FAILURE,
        services=(SWITCHED,),
        violations=(DENIAL,),
    ),
    "turn, empty": summary.turn(outcome=Outcome.HELD, reason=None, message="", effects=0, duration=0.0),
    "status": status(status_facts()),
    "status, empty": status(emptiest_facts()),
    "history": summary.history([OPEN, ENDED]),
    "history, empty": summary.history([]),
    "policy unused": summary.policy_use(
        [(Grant("ipc", "*", "*", "x"), Use(NOW)), (BindGrant("/a", "/a", "x"), Use(NOW, NOW))], 3, 30
    ),
    "policy unused, none": summary.policy_use([], 0, 30),
    "alerts": alerts([Alert(Finding("disk-low", "9 GiB free", None, None, "/", 0.09, 0.1), NOW)], NOW),
    "alerts, none": alerts([], None),
    "notify test": summary.notify_test([("ntfy://***", True, "accepted"), ("json://a/***", False, "error=404")]),
    "error": summary.error(Reason.LOCKED.value, "held by 12", "wait", ["one", "two"]),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_document_fits_the_schema(name: str) -> None:
    Draft202012Validator(SCHEMA).validate(DOCUMENTS[name])


@pytest.mark.parametrize("name", DOCUMENTS)
def test_document_has_no_field_that_the_schema_does_not_explain(name: str) -> None:
    document = DOCUMENTS[name]
    assert list(unexplained(document, SCHEMA["$defs"][document["kind"]])) == []


def unexplained(value: Any, schema: Mapping[str, Any]) -> list[str]:
    """Fields without a place in the schema, or in another order than there."""
    if "$ref" in schema:
        return unexplained(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    if value is None:
        return []
    if "oneOf" in schema:
        return unexplained(value, schema["oneOf"][-1])
    if isinstance(value, list):
        return [name for item in value for name in unexplained(item, schema["items"])]
    if not isinstance(value, dict) or schema.get("additionalProperties"):
        return []
    found = [] if list(value) == list(schema["properties"]) else sorted(value)
    return found + [name for key in value for name in unexplained(value[key], schema["properties"].get(key, {}))]


def test_the_schema_is_one_and_knows_every_word() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    definitions = SCHEMA["$defs"]
    assert definitions["reason"]["enum"] == [reason.value for reason in Reason]
    assert definitions["step"]["properties"]["action"]["enum"] == [action.value for action in Action]
    outcomes = set(definitions["attempt"]["properties"]["outcome"]["enum"])
    assert outcomes == {outcome.value for outcome in Outcome}
    assert outcomes - {"Started"} == set(definitions["Turn"]["properties"]["outcome"]["enum"])
    assert set(definitions["sync"]["enum"]) == {word.value for word in Sync}
    assert set(definitions["health"]["enum"]) == {word.value for word in Health}


def test_validation_is_valid_with_warnings_and_not_with_a_denial() -> None:
    assert summary.validation([WARNING])["valid"] is True
    assert DOCUMENTS["validation"]["valid"] is False


def test_violation_names_its_place() -> None:
    found = DOCUMENTS["validation"]["violations"][1]
    assert (found["path"], found["line"], found["column"]) == ("compose/shop/compose.yaml", 4, 5)
    assert (found["rule"], found["level"], found["reason"]) == ("privileged", "deny", "PolicyViolation")


def test_budget_has_one_row_for_each_service() -> None:
    budget = DOCUMENTS["validation"]["budget"]
    assert budget["rows"] == [
        {"stack": "shop", "service": "web", "replicas": 2, "limitBytes": 64 * MIB, "default": True}
        | {"overheadBytes": 8 * MIB}
    ]
    assert budget["volumes"] == [{"stack": "shop", "volume": "scratch", "sizeBytes": 4 * MIB}]
    assert budget["steadyLimitBytes"] == 800 * MIB


def test_plan_tells_steps_costs_and_restarts() -> None:
    document = DOCUMENTS["plan"]
    assert document["steps"] == [
        {
            "n": 1,
            "action": "CreateContainer",
            "stack": "shop",
            "service": "web",
            "container": "shop-web-1",
            "cause": "image changed",
            "memoryAfterBytes": 64 * MIB,
        }
    ]
    assert (document["restarts"], document["changes"]) == (["shop/web"], True)
    assert DOCUMENTS["plan, empty"]["changes"] is False


def test_attempt_that_goes_on_has_no_end() -> None:
    going_on, ended = DOCUMENTS["history"]["attempts"]
    assert (going_on["outcome"], going_on["endedAt"], going_on["durationSeconds"]) == ("Started", None, None)
    assert (ended["durationSeconds"], ended["final"], ended["contentKey"]) == (1.5, True, "key")
    assert ended["failure"]["log"] == ["starting", "giving up"]


def test_a_clock_that_was_set_back_gives_no_negative_duration() -> None:
    [document] = summary.history([Attempt("9", HEAD, Intent.ADVANCE, NOW, ended_at=NOW - 5)])["attempts"]
    assert document["durationSeconds"] == 0.0


def test_unknown_is_null_never_zero() -> None:
    document = DOCUMENTS["status, empty"]
    assert document["source"]["head"] is None
    assert set(document["budget"].values()) == {None}
    assert document["leftovers"] == {"volumes": None, "networks": None}
    assert document["rollout"] is None


def test_moments_are_utc_to_the_millisecond() -> None:
    assert moment(NOW) == "2027-01-15T08:00:00.250Z"
    assert moment(None) is None
