"""Advance: a commit is judged, prepared and rolled out, and either becomes last good or is quarantined."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from reconciler.decide.history.outline import outline
from reconciler.decide.hold import image_probes
from reconciler.decide.lower.pull_policy import is_fetched_anew
from reconciler.decide.lower.wanted_images import unresolved
from reconciler.decide.plan.trials import untried
from reconciler.errors import ENVIRONMENT, Away, ImageFailed, Interrupted, ReconcilerError, RolloutFailed, Transient
from reconciler.loop import unforeseen
from reconciler.loop.addresses import check_subnets
from reconciler.loop.adopt import refuse_to_hide
from reconciler.loop.collect import close, collect, fetch
from reconciler.loop.compare import changed_by_others
from reconciler.loop.context import TurnContext
from reconciler.loop.data import check_data, note_unproven
from reconciler.loop.engine import check_limits
from reconciler.loop.judge import (
    check_addresses,
    check_consent,
    check_content,
    check_images,
    check_missing,
    check_mounts,
    check_names,
    check_namespaces,
    check_networks,
    check_pinned_data,
    check_plan,
    check_shrink,
    check_variables,
    reject,
)
from reconciler.loop.known_images import local_images
from reconciler.loop.ledger import Ending, Ledger
from reconciler.loop.newer import Newer, give_way
from reconciler.loop.prepare import Prepared
from reconciler.loop.published import check_ports
from reconciler.loop.rollback import go_back
from reconciler.loop.rolling import begin_step, make_plan, make_rollout
from reconciler.loop.rollout import Rollout
from reconciler.loop.turn import Anew, Ended, Turn
from reconciler.model.desired import DesiredState
from reconciler.model.files import Commit
from reconciler.model.history import Attempt
from reconciler.model.images import Image, ImageWant
from reconciler.model.observed import ObservedState
from reconciler.model.outcome import CommitState, Failure, Intent, Outcome, Reason, Violation
from reconciler.model.plan import Action, Step

CORRECT = "fix the commit and push again"


def advance(context: TurnContext, head: Commit) -> Turn:
    """Bring the machine to `head`. Transient if an environment fault prevents its judgement."""
    with context.attention.watching(Newer(context)):
        prepared = context.states.prepare(head.sha, head.sha in context.ledger.history.accepted)
    if prepared.denied:
        return reject(context.ports, context.ledger, head, prepared.violations)
    base = context.states.good()
    images = _local(context, head, prepared)
    desired = context.ports.preparer.lower(prepared, images, head.sha)
    if head.sha not in context.ledger.history.accepted:
        check_shrink(context.ports, context.ledger, head, desired, base)
    missing = [want for want in prepared.wants if want.key not in images]
    if not missing:
        check_content(context, head, prepared, desired)
    check_images(context, head, missing)
    context.foreseen = foreseen = context.machine.foresee(desired, base)
    check_limits(context, head, desired, foreseen.observed.engine)
    check_consent(context.ledger, head, foreseen.takings)
    refuse_to_hide(foreseen.verdict)
    check_mounts(context.ports, context.ledger, head, desired, foreseen)
    observed = foreseen.observed
    wrong = _image_probes(context, desired, observed)
    if wrong:
        return reject(context.ports, context.ledger, head, (*prepared.violations, *wrong))
    check_data(context.ports, context.ledger, head, desired, base, foreseen)
    check_variables(context.ledger, head, prepared, base)
    check_pinned_data(context.ports, context.ledger, head, desired, base, foreseen)
    steps = image_steps(missing, context.options.build_memory)
    drifted = changed_by_others(context.ports, context.ledger, desired, observed, foreseen.verdict.records)
    plan = make_plan(context, desired, observed, Intent.ADVANCE, foreseen.back, steps, drifted)
    check_plan(context.ports, context.ledger, head, plan, observed, desired.memory)
    check_ports(context.ports, desired, observed)
    check_missing(desired, observed)
    check_namespaces(desired, observed)
    check_networks(plan, desired, observed)
    check_names(plan, desired, observed)
    check_addresses(plan, desired, observed)
    check_subnets(context, plan, desired, observed)
    return _attempt(context, head, prepared, images, base)


def _attempt(
    context: TurnContext, head: Commit, prepared: Prepared, images: dict[str, Image], base: DesiredState | None
) -> Turn:
    attempt = context.ledger.start(head.sha, Intent.ADVANCE, prepared.violations)
    known = context.ledger.history.defects.get(head.sha, 0)
    try:
        desired = _with_images(context, attempt, prepared, images)
        return _roll(context, attempt, prepared, images, desired, base)
    except ImageFailed as error:
        return _refuse(context, attempt, Failure(error.reason, error.message, log=error.details))
    except Anew as again:
        give_way(context.ledger, attempt, again)
        raise
    except Interrupted as error:
        if not context.ledger.quarantined(attempt.id):
            context.ledger.interrupted(attempt, error)
        raise
    except ENVIRONMENT as error:
        if not context.ledger.attempt(attempt.id).open or context.ledger.quarantined(attempt.id):
            raise
        return context.ledger.fault(attempt, error)
    except (ReconcilerError, Ended):
        raise
    except Exception as error:
        if not context.ledger.attempt(attempt.id).open or context.ledger.quarantined(attempt.id):
            raise
        # Faults during the rollback from another commit do not count for this one.
        counted = context.ledger.history.defects.get(head.sha, 0) > known
        if counted or not unforeseen.note(context.ledger, head.sha, error):
            return context.ledger.fault(attempt, unforeseen.fault(error))
        return _refuse(context, attempt, Failure(Reason.INTERNAL_ERROR, unforeseen.told(error)))


def _local(context: TurnContext, head: Commit, prepared: Prepared) -> dict[str, Image]:
    """Images that the machine has already, without those that a new commit pulls or builds again."""
    known = _is_good(context.ledger, head)
    context.watchdog.begins("look for images", "the engine")
    now = context.ports.clock.now()
    return local_images(
        context.ports,
        context.ledger,
        prepared,
        head.sha,
        lambda want, image: not known and is_fetched_anew(want, image, now),
    )


def _image_probes(context: TurnContext, desired: DesiredState, observed: ObservedState) -> tuple[Violation, ...]:
    """Violations by health checks of images that the machine has."""
    asked = image_probes.checked_by_image(desired, observed)
    if not asked:
        return ()
    images = context.ports.observer.defaults(service.image for service, _ in asked)
    return tuple(image_probes.findings(asked, images))


def _is_good(ledger: Ledger, head: Commit) -> bool:
    """Whether it is last good's own commit, judged again because the host's secrets have changed."""
    good = ledger.history.last_good
    return good is not None and good.revision == head.sha


def _with_images(context: TurnContext, attempt: Attempt, prepared: Prepared, images: dict[str, Image]) -> DesiredState:
    missing = [want for want in prepared.wants if want.key not in images]
    steps = image_steps(missing)
    with context.attention.watching(Newer(context)):
        for want, step in zip(missing, steps, strict=True):
            begin_step(context, attempt, step, len(steps))
            images[want.key] = fetch(context.ports, context.ledger, attempt, want, prepared.files)
    desired = context.ports.preparer.lower(prepared, images, attempt.revision)
    bad = context.ledger.history.bad_content(desired.content)
    if bad is not None:
        message = f"the same content as {bad.revision[:12]}, which was refused ({bad.reason})"
        raise Ended(_refuse(context, attempt, Failure(Reason.REVISION_QUARANTINED, message), desired.content))
    return desired


def _roll(
    context: TurnContext,
    attempt: Attempt,
    prepared: Prepared,
    images: dict[str, Image],
    desired: DesiredState,
    base: DesiredState | None,
) -> Turn:
    observed = context.machine.inspect(desired, base, images=images.values(), new=True)
    for found in _image_probes(context, desired, observed):
        return _refuse(context, attempt, Failure(found.reason, found.message), desired.content, found.hint)
    base = context.states.good()
    context.states.save(desired, prepared)
    context.states.write_trees(desired, prepared.files)
    stacks = [stack.name for stack in desired.stacks]
    digests = {want.ref: images[want.key].digest for want in prepared.wants}
    context.ledger.append("prepared", attempt=attempt.id, content=desired.content, stacks=stacks, images=digests)
    note_unproven(context.ports, context.ledger, desired, observed)
    plan = make_plan(
        context,
        desired,
        observed,
        Intent.ADVANCE,
        base,
        corrections=changed_by_others(context.ports, context.ledger, desired, observed),
    )
    if plan.violations:
        first = plan.violations[0]
        raise Transient(first.reason, first.message, first.hint)
    check_networks(plan, desired, observed)
    check_names(plan, desired, observed)
    check_subnets(context, plan, desired, observed)
    for item in untried(plan):
        context.ledger.warn(attempt.id, item)
    with suppress(Transient):
        context.ledger.append("planned", attempt=attempt.id, **outline(plan, desired, observed))
    rollout = make_rollout(context, attempt, desired, base, observed, plan)
    try:
        rollout.walk()
    except RolloutFailed as error:
        quarantined = error.failure.reason is not Reason.DEPENDENCY_NOT_READY
        return go_back(context, attempt, error.failure, desired, rollout, quarantined=quarantined)
    except Away:
        raise  # no rollback is possible before the engine answers, and then going on is as short
    except Transient as error:
        if not rollout.touched:
            raise
        return go_back(context, attempt, Failure(error.reason, error.message), desired, rollout, quarantined=False)
    except (ReconcilerError, Anew):
        raise
    except Exception as error:
        if not rollout.touched:
            raise
        enough = unforeseen.note(context.ledger, attempt.revision, error)
        failure = Failure(Reason.INTERNAL_ERROR, unforeseen.told(error))
        return go_back(context, attempt, failure, desired, rollout, quarantined=enough)
    return _succeed(context, attempt, desired, rollout)


def _succeed(context: TurnContext, attempt: Attempt, desired: DesiredState, rollout: Rollout) -> Turn:
    done = [f"{item.stack}/{item.service}" for item in rollout.records() if item.action != "Unchanged"]
    ending = Ending(
        Outcome.SUCCEEDED,
        Reason.RECONCILIATION_SUCCEEDED,
        f"healthy; changed: {', '.join(done)}" if done else "healthy; no service had to change",
        CommitState.SUCCESS,
        desired.content,
        good=True,
        services=rollout.records(),
        closing=True,
    )
    turn = context.ledger.end(ending, attempt.revision, attempt.intent, attempt.id)
    context.states.pin("good", attempt.revision)
    close(context, attempt, rollout)
    return turn


def _refuse(
    context: TurnContext, attempt: Attempt, failure: Failure, content: str | None = None, hint: str = CORRECT
) -> Turn:
    """The commit is rejected before anything was created or stopped."""
    ending = Ending(
        Outcome.REJECTED, failure.reason, failure.message, CommitState.FAILURE, content, failure=failure, hint=hint
    )
    turn = context.ledger.end(ending, attempt.revision, attempt.intent, attempt.id)
    context.states.pin_bad(attempt.revision, content)
    collect(context)
    return turn


def image_steps(missing: Sequence[ImageWant], build_memory: int = 0) -> tuple[Step, ...]:
    """The Pull and Build steps of a plan, with the memory that each may take."""
    return tuple(
        Step(
            n,
            Action.BUILD if want.build else Action.PULL,
            want.stack,
            want.service,
            want.ref,
            "the machine does not have it",
            build_memory if want.build else 0,
            id=unresolved(want),
        )
        for n, want in enumerate(missing, 1)
    )
