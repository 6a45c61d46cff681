"""Makes the plan for a state, and a rollout of it that notices a newer commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from reconciler.decide.drift.corrections import NOTHING, Corrections
from reconciler.decide.plan import planner
from reconciler.decide.plan.lost import volume_made_anew
from reconciler.loop.context import TurnContext
from reconciler.loop.newer import Newer
from reconciler.loop.rollout import NOBODY, Hooks, Rollout, World
from reconciler.model.desired import DesiredState, ServiceKey
from reconciler.model.history import Attempt
from reconciler.model.observed import ObservedState
from reconciler.model.outcome import Intent
from reconciler.model.plan import Action, Plan, Step

_ANSWERS = {Action.PULL: "the registry", Action.BUILD: "the builder"}


def make_plan(
    context: TurnContext,
    desired: DesiredState,
    observed: ObservedState,
    intent: Intent,
    base: DesiredState | None,
    images: Sequence[Step] = (),
    corrections: Corrections = NOTHING,
) -> Plan:
    """The plan from `observed` to `desired`. `base`: what `desired` replaces."""
    context.planned = planner.plan(
        desired,
        observed,
        intent=intent,
        base=base,
        ran_once=context.ledger.history.ran_once,
        images=images,
        stacks=context.machine.stacks(desired, base),
        corrections=corrections,
        longest_stop=context.options.longest_stop,
    )
    return context.planned


def make_rollout(
    context: TurnContext,
    attempt: Attempt,
    desired: DesiredState,
    base: DesiredState | None,
    observed: ObservedState,
    plan: Plan,
    down: Mapping[ServiceKey, float] = NOBODY,
) -> Rollout:
    """`down`: services that an earlier rollout has left down, and since when (monotonic seconds)."""
    ports, ledger = context.ports, context.ledger
    context.options.planned(plan, attempt)
    hooks = Hooks(
        step=lambda step, steps: begin_step(context, replace(attempt, intent=plan.intent), step, steps),
        pulse=context.attention.pulse,
        watching=lambda rollout: context.attention.watching(Newer(context, plan.intent, rollout)),
        completed=ledger.ran_once,
        refused=lambda container: ledger.append("unstartable", container=container),
        stops=lambda item: ledger.append("stopped", container=item.id, started=item.started_at),
        lost=lambda step: ledger.warn(attempt.id, volume_made_anew(step)),
    )
    world = World(ports.observer, ports.applier, ports.clock, context.options.longest_stop)
    return Rollout(world, desired, base, observed, plan, hooks, down)


def begin_step(context: TurnContext, attempt: Attempt, step: Step, steps: int) -> None:
    """A step begins. Interrupted where the process was asked to end."""
    context.attention.attend()
    where = "/".join(filter(None, (step.stack, step.service or step.container)))
    told = f"step {step.n} of {steps}: {step.action} {where}".rstrip()
    context.watchdog.begins(told, _ANSWERS.get(step.action, "the engine"))
    context.options.progress(step, steps, attempt)
