"""The turn does what `plan` says about it, and asking changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from reconciler.loop.rehearsal import TOLD
from reconciler.model.outcome import Outcome, Reason
from tests.fakes.behaviour import crashing
from tests.fakes.life import ROOT, Life, service
from tests.loop.lives import dies_before, settled


def asked(life: Life) -> tuple[int, dict[str, Any]]:
    """The answer of `plan`. Machine, journal and mirror have not changed."""

    def state() -> object:
        waiting = [item.id for item in life.requests.left]
        return life.machine.snapshot(), json.dumps(life.journal.lines), dict(life.source.pins("")), waiting

    before = state()
    code, document = life.plan()
    assert state() == before
    return code, dict(document)


def proven() -> Life:
    life = Life()
    life.push(a=service("a:1"), b=service("b:1"), c=service("c:1"))
    return settled(life)


def nothing(life: Life) -> None: ...


def dropped(life: Life) -> None:
    life.push(a=service("a:1"))


def failed(life: Life) -> None:
    life.behave("a:2", crashing(0.5))
    life.push(a=service("a:2"), b=service("b:1"), c=service("c:1"))
    assert life.turn().outcome is Outcome.ROLLED_BACK


def failed_again(life: Life) -> None:
    failed(life)
    life.push(a=service("a:1"), b=service("b:1"), c=service("c:1"))
    life.turn()
    life.push(a=service("a:2"), b=service("b:1"), c=service("c:1"))


def suspended(life: Life) -> None:
    life.ask("suspend", why="quiet")
    life.turn()
    life.push(a=service("a:2"), b=service("b:1"), c=service("c:1"))


def suspension_waits(life: Life) -> None:
    """It was requested, and is not answered yet."""
    life.ask("suspend", why="quiet")
    life.push(a=service("a:2"), b=service("b:1"), c=service("c:1"))


def rewritten(life: Life) -> None:
    same(life)
    life.turn()
    life.source.rewind(1)
    life.push(a=service("a:2"), b=service("b:1"), c=service("c:1"))


def port_taken(life: Life) -> None:
    life.machine.processes[("0.0.0.0", 8001, "tcp")] = "nginx"
    ports = [{"mode": "ingress", "target": 80, "published": "8001", "protocol": "tcp"}]
    life.push(a=service("a:1", ports=ports), b=service("b:1"), c=service("c:1"))


def denied(life: Life) -> None:
    life.push(a=service("a:1", privileged=True), b=service("b:1"), c=service("c:1"))


def same(life: Life) -> None:
    life.push(a=service("a:1"), b=service("b:1"), c=service("c:1"))


def moved_data(life: Life) -> None:
    for key in ("data", "rows"):
        mounts = [{"type": "volume", "source": key, "target": "/data"}]
        model = {"a": service("a:1", volumes=mounts), "b": service("b:1"), "c": service("c:1")}
        if key == "rows":
            settled(life)
        life.push_model({"services": model, "volumes": {key: {}}})


def told(document: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(document[key] for key in ("outcome", "reason", "message", "hint"))


@pytest.mark.parametrize(
    ("happens", "outcome", "reason", "exit_code"),
    [
        (nothing, Outcome.UNCHANGED, Reason.RECONCILIATION_SUCCEEDED, 0),
        (same, Outcome.UNCHANGED, Reason.RECONCILIATION_SUCCEEDED, 0),
        (dropped, Outcome.HELD, Reason.CONSENT_MISSING, 1),
        (moved_data, Outcome.HELD, Reason.CONSENT_MISSING, 1),
        (suspended, Outcome.HELD, Reason.SUSPENDED, 1),
        (suspension_waits, Outcome.HELD, Reason.SUSPENDED, 1),
        (rewritten, Outcome.HELD, Reason.NOT_FAST_FORWARD, 1),
        (denied, Outcome.REJECTED, Reason.POLICY_VIOLATION, 1),
        (failed, Outcome.UNCHANGED, Reason.REVISION_QUARANTINED, 0),
        (failed_again, Outcome.REJECTED, Reason.REVISION_QUARANTINED, 1),
        (port_taken, None, Reason.DEPENDENCY_NOT_READY, 1),
    ],
)
def test_it_says_what_the_turn_comes_to(
    happens: Callable[[Life], None], outcome: Outcome | None, reason: Reason, exit_code: int
) -> None:
    life = proven()
    happens(life)
    code, document = asked(life)
    turn = life.turn()
    assert told(document) == (TOLD.get(turn.outcome), turn.reason, turn.message, turn.hint)
    assert (document["outcome"], document["reason"], document["steps"]) == (outcome, reason, [])
    assert code == exit_code


def test_a_new_commit_is_for_the_rollout_to_tell() -> None:
    life = proven()
    sha = life.push(a=service("a:2"), b=service("b:1"), c=service("c:1"))
    code, document = asked(life)
    assert (code, *told(document)) == (1, None, None, "", "")
    assert (document["intent"], document["revision"], document["restarts"]) == ("Advance", sha, ["shop/a"])
    assert life.turn().outcome is Outcome.SUCCEEDED


def test_drift_is_planned_as_the_turn_corrects_it() -> None:
    life = proven()
    life.machine.vanishes("shop-b-1")
    code, document = asked(life)
    assert (code, document["outcome"], document["intent"]) == (1, None, "Repair")
    assert {step["service"] for step in document["steps"] if step["service"]} == {"b"}
    assert life.turn().reason is Reason.DRIFT_CORRECTED


def test_a_held_commit_beside_drift_is_told_with_the_steps_of_the_repair() -> None:
    life = proven()
    dropped(life)
    life.machine.vanishes("shop-b-1")
    code, document = asked(life)
    assert (code, document["outcome"], document["reason"]) == (1, "Held", "ConsentMissing")
    assert (document["intent"], bool(document["steps"])) == ("Repair", True)


def test_a_rewritten_branch_beside_drift_is_told_with_the_steps_of_the_repair() -> None:
    life = proven()
    dropped(life)
    assert life.turn().reason is Reason.CONSENT_MISSING
    life.source.rewind(1)
    life.push(a=service("a:2"), b=service("b:1"), c=service("c:1"))
    life.machine.vanishes("shop-b-1")
    _, document = asked(life)
    assert (document["outcome"], document["reason"], bool(document["steps"])) == ("Held", "NotFastForward", True)
    assert life.turn().reason is Reason.NOT_FAST_FORWARD


def test_drift_beside_a_commit_is_planned_as_the_rollout_corrects_it() -> None:
    life = proven()
    life.machine.is_updated("shop-b-1", memory=32 << 20)
    life.push(a=service("a:2"), b=service("b:1"), c=service("c:1"))
    _, document = asked(life)
    assert "b" in {step["service"] for step in document["steps"]}
    life.steps.clear()
    life.turn()
    assert [step.cause for step in life.steps if step.service == "b"] == [
        step["cause"] for step in document["steps"] if step["service"] == "b"
    ]


def test_deleted_files_start_what_mounts_them_again() -> None:
    life = Life()
    mounts = [{"type": "bind", "source": f"{ROOT}/conf", "target": "/conf", "read_only": True}]
    life.image("a:1")
    life.push_files({"services": {"a": service("a:1", volumes=mounts)}}, **{"conf/x": "1"})
    settled(life)
    life.machine.trees.clear()
    _, document = asked(life)
    assert {(step["service"], step["cause"]) for step in document["steps"]} >= {
        ("a", "the files that it mounts were deleted")
    }
    assert life.turn().reason is Reason.DRIFT_CORRECTED


def test_a_rollback_that_was_cut_off_is_planned_without_waiting_for_anything() -> None:
    life = proven()
    life.behave("a:2", crashing(0.5))
    life.push(a=service("a:2"), b=service("b:1"), c=service("c:1"))
    dies_before(life, "journal ended")  # what ran before runs again, and has still to prove itself
    now = life.machine.clock.now()
    code, document = asked(life)
    assert life.machine.clock.now() == now
    assert (code, document["outcome"], document["intent"]) == (1, None, "Revert")
    assert life.turn().outcome is Outcome.ROLLED_BACK


def test_an_image_that_is_missing_is_said_to_hide_the_content() -> None:
    life = proven()
    life.push_files({"services": {"a": service("a:2"), "b": service("b:1"), "c": service("c:1")}})
    code, document = asked(life)
    assert (code, document["outcome"], document["reason"]) == (1, None, None)
    assert "known only after the pull of a:2" in document["message"]
    assert document["steps"][0]["action"] == "Pull"


def test_a_commit_that_is_named_is_judged_as_if_it_were_the_head() -> None:
    life = proven()
    first = life.source.branch[-1]
    bad = life.push(a=service("a:1"))
    life.push(a=service("a:2"), b=service("b:1"), c=service("c:1"))
    life.source.fetch()
    code, document = life.plan(bad)
    assert (code, document["revision"], document["outcome"], document["steps"]) == (1, bad, "Held", [])
    code, document = life.plan(first)
    assert (code, document["revision"], document["outcome"]) == (0, first, "Unchanged")
