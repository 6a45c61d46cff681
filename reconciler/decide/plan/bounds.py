"""Limits of every plan: it may not exceed the memory bound or change a volume."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from reconciler.decide import footprint
from reconciler.decide.plan.builder import PlanBuilder
from reconciler.decide.plan.diff import StateDiff
from reconciler.formats.quantities import shown
from reconciler.model.desired import DesiredState, Volume
from reconciler.model.observed import COMPOSE_PROJECT, ObservedState
from reconciler.model.outcome import Intent, Level, Reason, Violation
from reconciler.model.plan import Action, Step

PEAK = "memory-peak"
"""The rule for a plan whose steps exceed the memory bound."""

BUILD = "build-memory"
"""The rule for a build that may need more memory than the running containers leave."""


def bound(desired: DesiredState, observed: ObservedState) -> int:
    """Upper bound in bytes for the sum of all running containers' limits."""
    available = min(desired.memory.budget, observed.memory_total or desired.memory.budget)
    return available - desired.memory.reserve


def violations(diff: StateDiff, builder: PlanBuilder, limit: int, stacks: Collection[str]) -> Iterable[Violation]:
    """The violations of a plan. `stacks`: every stack that is or was this host's."""
    builds = (step for step in builder.steps if step.action is Action.BUILD)
    build = next((step for step in builds if step.memory_after > limit), None)
    if build is not None:
        yield _too_large(build, limit)
    starts = (step for step in builder.steps if step.action in (Action.START_CONTAINER, Action.RUN_ONCE))
    over = next((step for step in starts if step.memory_after > limit + leeway(diff)), None)
    if over is not None:
        yield _too_much(over, builder.memory.foreign, limit)
    yield from _captures(diff, stacks)
    for stack in diff.desired.stacks:
        for volume in stack.volumes if not stack.suspended else ():
            there = diff.observed.volumes.get(volume.name)
            made = [_made(item) for item in (volume, footprint.as_made(volume))]
            if there is not None and (there.driver, dict(there.options)) not in made:
                yield Violation(
                    Reason.POLICY_VIOLATION,
                    "volume-changed",
                    f"volume {volume.name} exists with another driver or other options",
                    "a volume is never recreated: give the changed volume a new name and move the data",
                    level=Level.DENY,
                    stack=stack.name,
                )


def _made(volume: Volume) -> tuple[str, dict[str, Any]]:
    return volume.definition.get("driver") or "local", dict(volume.definition.get("driver_opts") or {})


def leeway(diff: StateDiff) -> int:
    """Bytes by which a state that was good before overhead counted may exceed the bound: it is still corrected and
    rolled back to."""
    if diff.intent is Intent.ADVANCE:
        return 0
    desired, observed = diff.desired, diff.observed
    return (
        sum(footprint.overhead(service.config) * service.replicas for service in desired.services().values())
        + sum(footprint.of_container(item) - item.memory for item in observed.containers if item.running)
        + sum(map(footprint.beside_limit, observed.foreign))
        + sum(footprint.wanted_volumes(desired).values())
    )


def _too_much(step: Step, foreign: int, limit: int) -> Violation:
    others = f", {shown(foreign)} of it other containers'" if foreign else ""
    return Violation(
        Reason.BUDGET_EXCEEDED,
        PEAK,
        f"starting {step.stack}/{step.service} would need {shown(step.memory_after)} together{others}; "
        f"at most {shown(limit)} is allowed",
        "lower a limit, raise spec.memory.budget, give the engine more memory or stop other containers",
        stack=step.stack,
        service=step.service,
    )


def _too_large(step: Step, limit: int) -> Violation:
    return Violation(
        Reason.BUDGET_EXCEEDED,
        BUILD,
        f"building {step.stack}/{step.service} beside what runs may take {shown(step.memory_after)}; "
        f"at most {shown(limit)} is allowed",
        "lower build.memory in the agent config, raise spec.memory.budget or stop containers",
        stack=step.stack,
        service=step.service,
    )


def _captures(diff: StateDiff, stacks: Collection[str]) -> Iterable[Violation]:
    """Existing networks and volumes of others: a name gives no right to use them."""
    for stack in diff.desired.stacks:
        for kind, wanted, there in (
            ("network", stack.networks, diff.observed.networks),
            ("volume", stack.volumes, diff.observed.volumes),
        ):
            for item in wanted if not stack.suspended else ():
                found = there.get(item.name)
                if found is not None and belongs_to_others(found.labels, item.name, stack.name, stacks):
                    yield Violation(
                        Reason.POLICY_VIOLATION,
                        "foreign-object",
                        f"the {kind} {item.name} exists and is not this stack's",
                        "choose another name; to share it, declare it external and let the operator grant that"
                        + (f"; if nobody needs it, `docker network rm {item.name}`" if kind == "network" else ""),
                        stack=stack.name,
                    )


def belongs_to_others(labels: Mapping[str, str], name: str, stack: str, stacks: Collection[str]) -> bool:
    """Whether an object belongs to another project. An object without a project belongs to a person, unless it has our
    own name."""
    owner = labels.get(COMPOSE_PROJECT)
    if owner is None:
        return not name.startswith(f"{stack}_")
    return owner != stack and owner not in stacks
