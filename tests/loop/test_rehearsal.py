"""What `plan` says of the next turn is what the turn comes to, and asking changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from reconciler.loop.options import Options
from reconciler.loop.rehearsal import NO_HANDS, NO_REQUESTS, NO_VOICE, TOLD, rehearse
from reconciler.model.outcome import Intent, Outcome, Reason
from reconciler.model.plan import Outlook, Plan
from tests.fakes.behaviour import crashing
from tests.fakes.life import Life, service
from tests.loop.lives import settled


def asked(life: Life) -> tuple[Outlook, Plan | None]:
    """What a turn would come to; neither machine, journal nor mirror has changed."""
    before = life.machine.snapshot(), json.dumps(life.journal.lines), dict(life.source.pins(""))
    ports = replace(life.ports(), applier=NO_HANDS, reporter=NO_VOICE, requests=NO_REQUESTS)
    answer = rehearse(ports, Options("mini", adopt=life.adopt), life.journal.lines, life.source.fetch())
    assert (life.machine.snapshot(), json.dumps(life.journal.lines), dict(life.source.pins(""))) == before
    return answer


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


@pytest.mark.parametrize(
    ("happens", "outcome", "reason"),
    [
        (nothing, Outcome.UNCHANGED, Reason.RECONCILIATION_SUCCEEDED),
        (same, Outcome.UNCHANGED, Reason.RECONCILIATION_SUCCEEDED),
        (dropped, Outcome.HELD, Reason.CONSENT_MISSING),
        (moved_data, Outcome.HELD, Reason.CONSENT_MISSING),
        (suspended, Outcome.HELD, Reason.SUSPENDED),
        (denied, Outcome.REJECTED, Reason.POLICY_VIOLATION),
        (failed, Outcome.UNCHANGED, Reason.REVISION_QUARANTINED),
        (failed_again, Outcome.REJECTED, Reason.REVISION_QUARANTINED),
    ],
)
def test_it_says_what_the_turn_comes_to(happens: Callable[[Life], None], outcome: Outcome, reason: Reason) -> None:
    life = proven()
    happens(life)
    outlook, plan = asked(life)
    turn = life.turn()
    told = TOLD.get(turn.outcome), turn.reason, turn.message, turn.hint
    assert (outlook.outcome, outlook.reason, outlook.message, outlook.hint) == told
    assert (outlook.outcome, outlook.reason, plan) == (outcome, reason, None)


def test_a_new_commit_is_for_the_rollout_to_tell() -> None:
    life = proven()
    life.push(a=service("a:2"), b=service("b:1"), c=service("c:1"))
    outlook, plan = asked(life)
    assert outlook == Outlook()
    assert plan is not None
    assert (plan.intent, plan.restarts) == (Intent.ADVANCE, (("shop", "a"),))
    assert life.turn().outcome is Outcome.SUCCEEDED


def test_drift_is_planned_as_the_turn_corrects_it() -> None:
    life = proven()
    life.machine.vanishes("shop-b-1")
    outlook, plan = asked(life)
    assert outlook.outcome is None
    assert plan is not None
    assert (plan.intent, {step.service for step in plan.steps if step.service}) == (Intent.REPAIR, {"b"})
    assert life.turn().reason is Reason.DRIFT_CORRECTED


def test_a_held_commit_beside_drift_is_told_with_the_steps_of_the_repair() -> None:
    life = proven()
    dropped(life)
    life.machine.vanishes("shop-b-1")
    outlook, plan = asked(life)
    assert (outlook.outcome, outlook.reason) == (Outcome.HELD, Reason.CONSENT_MISSING)
    assert plan is not None
    assert plan.intent is Intent.REPAIR
