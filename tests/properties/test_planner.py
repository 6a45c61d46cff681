"""What holds for every plan, for any desired and observed state."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from reconciler.decide import footprint
from reconciler.decide.plan import planner
from reconciler.decide.slots import settled
from reconciler.model.desired import Condition, DesiredState
from reconciler.model.observed import ObservedState
from reconciler.model.outcome import Intent
from reconciler.model.plan import Action, Plan
from tests.decide.planning import desired, observed, plan_of
from tests.properties.states import there, wanted
from tests.properties.walking import walk

Case = tuple[dict[str, Any], dict[str, Any]]
EXAMPLES = int(os.environ.get("RECONCILER_PLANS", "100"))
STARTS = (Action.START_CONTAINER, Action.RUN_ONCE)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    text = draw(wanted())
    return text, draw(there(text))


def look(case: Case) -> tuple[DesiredState, ObservedState, Plan]:
    return desired(case[0]), observed(case[1]), plan_of(*case)


def _plain(version: int, **more: Any) -> dict[str, Any]:
    made = {"version": version, "replicas": 1, "completes": False, "memory": "16MiB", "health": False, "after": {}}
    return {**made, "shares": [], "networks": ["default"], **more}


def _found(what: str, number: int, **more: Any) -> dict[str, Any]:
    made = {"is": f"shop/{what}", "number": number, "id": f"{what[0]}{number}", "memory": "16MiB"}
    return {**made, "health": "none", "restart": "no", **more}


RENAMED_OWNER: Case = (
    {
        "stacks": {
            "shop": {
                "services": {"a": _plain(2, container_name="the-x-a"), "c": _plain(2, shares=["a"])},
                "networks": {"default": "a", "back": "a"},
                "volumes": {"data": None},
            }
        },
        "intent": "Advance",
        "memory": {"budget": "1GiB", "reserve": "32MiB"},
    },
    {
        "containers": {
            "shop-a-1": _found("a@2 exited=0", 1, networks=["shop_default"]),
            "shop-a-2": _found("a@2 running", 2, networks=["shop_default"]),
            "shop-c-1": _found("c@1 running", 1, shares=["a2"]),
        },
        "networks": {"shop_default": {"is": "a"}},
        "volumes": {"kept": None},
        "foreign": {},
    },
)
"""A namespace owner gets a name of its own, one of its two containers runs, and its user is replaced."""


def each(function: Any) -> Any:
    slow = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    found = example(RENAMED_OWNER)(given(cases())(function))
    return settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=slow)(found)


@each
def test_no_step_promises_more_than_allowed_or_the_plan_says_so(case: Case) -> None:
    target, before, plan = look(case)
    foreign = sum(map(footprint.of_foreign, before.foreign))
    for step, paper in walk(plan, target, before):
        if step.action is not Action.RUN_ONCE:  # on paper it has ended at once
            running = sum(footprint.of_container(item) for item in paper.containers.values() if item.running)
            assert step.memory_after >= running + foreign
    over = any(step.memory_after > plan.bound for step in plan.steps if step.action in STARTS)
    told = any(item.rule == "memory-peak" for item in plan.violations)
    # What was good before anything beside the limits counted is still corrected, and gone back to.
    assert over == told if plan.intent is Intent.ADVANCE else over or not told
    assert plan.peak >= max((step.memory_after for step in plan.steps), default=0)


@each
def test_nothing_is_removed_before_the_verdict_and_nothing_is_created_after_it(case: Case) -> None:
    plan = look(case)[2]
    first = len(plan.steps) - plan.closing
    early, late = plan.steps[:first], plan.steps[first:]
    assert not [step for step in early if step.action in (Action.REMOVE_CONTAINER, Action.REMOVE_NETWORK)]
    kinds = {Action.UPDATE_CONTAINER, Action.REMOVE_CONTAINER, Action.REMOVE_NETWORK}
    assert {step.action for step in late} <= kinds


@each
def test_what_is_replaced_start_first_never_serves_with_fewer(case: Case) -> None:
    target, before, plan = look(case)
    kept = {(item.stack, item.service) for item in plan.downtime if item.order == "start-first"}
    floor = {key: min(sum(item.running for item in before.of(*key)), target.services()[key].replicas) for key in kept}
    for step, paper in walk(plan, target, before):
        for stack, service in kept:
            running = sum(item.running for item in paper.observed(before).of(stack, service))
            assert running >= floor[stack, service], step


@each
def test_no_two_containers_have_one_name_at_any_moment(case: Case) -> None:
    target, before, plan = look(case)
    for step, paper in walk(plan, target, before):
        names = [item.name for item in paper.containers.values()]
        assert len(names) == len(set(names)), (step, sorted(names))


@each
def test_volumes_stay(case: Case) -> None:
    target, before, plan = look(case)
    for _, paper in walk(plan, target, before):
        assert paper.volumes >= before.volumes.keys()


@each
def test_after_the_plan_a_second_one_is_empty(case: Case) -> None:
    target, before, plan = look(case)
    after = before
    for _, paper in walk(plan, target, before):
        after = paper.observed(before)
    again = planner.plan(target, after, intent=Intent.REPAIR, base=target)
    assert not again.steps, again.steps
    unusual = any(item.state in ("paused", "restarting") for item in after.containers)
    jobs = any(item.completes for item in target.services().values())  # a repair runs none, whatever has become of it
    assert settled(target, after, frozenset()) or jobs or unusual


@each
def test_dependencies_start_first_and_have_met_what_is_asked(case: Case) -> None:
    target, _, plan = look(case)
    services = target.services()
    started: set[tuple[str, str]] = set()
    awaited: set[tuple[tuple[str, str], Condition | None]] = set()
    later = {(step.stack or "", step.service or "") for step in plan.steps if step.action in STARTS}
    for step in plan.steps:
        key = (step.stack or "", step.service or "")
        if step.action is Action.WAIT_HEALTHY and step.service:
            awaited.add((key, step.condition))
        if step.action in STARTS:
            started.add(key)
            for dependency in services[key].depends_on:
                other = (dependency.stack, dependency.service)
                assert other in started or other not in later, f"{key} before {other}"
                if other in later and dependency.condition is Condition.COMPLETED:
                    assert (other, Condition.COMPLETED) in awaited


@each
def test_removed_services_stop_dependents_first(case: Case) -> None:
    _, before, plan = look(case)
    if "base" in case[0]:
        known = desired(case[0]["base"]).services()
        kept = desired(case[0]).services().keys()
        stops = [(s.stack or "", s.service or "") for s in plan.steps if s.action is Action.STOP_CONTAINER]
        gone = [key for key in stops if key not in kept and key in known]
        for position, key in enumerate(gone):
            needs = {(item.stack, item.service) for item in known[key].depends_on}
            assert not needs & set(gone[:position]) - {key}
    assert before


@each
def test_every_stopped_container_that_is_not_wanted_goes_in_the_end(case: Case) -> None:
    target, before, plan = look(case)
    final = {item.id: item for item in before.containers}
    for _, paper in walk(plan, target, before):
        final = paper.containers
    services = target.services()
    for item in final.values():
        assert (item.stack, item.service) in services
        assert item.spec == services[item.stack, item.service].spec


@given(cases(), st.randoms())
def test_the_order_in_which_the_engine_lists_does_not_matter(case: Case, chance: random.Random) -> None:
    target, before, plan = look(case)
    shuffled = list(before.containers)
    chance.shuffle(shuffled)
    networks = dict(sorted(before.networks.items(), reverse=True))
    other = replace(before, containers=tuple(shuffled), networks=networks)
    base = desired(case[0]["base"], "old") if case[0].get("base") else None
    assert planner.plan(target, other, intent=plan.intent, base=base) == plan
