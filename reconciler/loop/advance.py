"""Forward: a commit is judged, prepared, switched in, and either becomes last good or is condemned."""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.decide.lower.pull_policy import is_fetched_anew
from reconciler.decide.lower.wanted_images import unresolved
from reconciler.errors import ENVIRONMENT, Away, ImageFailed, Interrupted, ReconcilerError, RolloutFailed, Transient
from reconciler.loop import unforeseen
from reconciler.loop.addresses import check_subnets
from reconciler.loop.adopt import refuse_to_hide
from reconciler.loop.collect import close, collect, fetch
from reconciler.loop.compare import changed_by_others
from reconciler.loop.context import Bench
from reconciler.loop.judge import (
    check_addresses,
    check_consent,
    check_content,
    check_data,
    check_images,
    check_missing_networks,
    check_mounts,
    check_names,
    check_networks,
    check_pinned_data,
    check_plan,
    check_ports,
    check_shrink,
    check_variables,
    reject,
)
from reconciler.loop.known_images import local_images
from reconciler.loop.ledger import Ending
from reconciler.loop.newer import Newer, give_way
from reconciler.loop.prepare import Prepared
from reconciler.loop.rollback import go_back, pin_bad
from reconciler.loop.rollout import Rollout
from reconciler.loop.turn import Anew, Ended, Turn
from reconciler.model.desired import DesiredState
from reconciler.model.files import Commit
from reconciler.model.history import Attempt
from reconciler.model.images import Image, ImageWant
from reconciler.model.outcome import CommitState, Failure, Intent, Outcome, Reason
from reconciler.model.plan import Action, Step

MEND = "mend the commit and push again"


def advance(bench: Bench, head: Commit) -> Turn:
    """Bring the machine to `head`. Transient where the environment keeps us from judging it."""
    with bench.attention.watching(Newer(bench)):
        prepared = bench.prepare(head.sha, head.sha in bench.book.history.accepted)
    if prepared.denied:
        return reject(bench, head, prepared.violations)
    base = bench.good()
    images = _local(bench, head, prepared)
    desired = bench.lower(prepared, images, head.sha)
    if head.sha not in bench.book.history.accepted:
        check_shrink(bench, head, desired, base)
    missing = [want for want in prepared.wants if want.key not in images]
    if not missing:
        check_content(bench, head, prepared, desired)
    check_images(bench, head, missing)
    foreseen = bench.foresee(desired, base)
    check_consent(bench, head, foreseen.takings)
    refuse_to_hide(foreseen.verdict)
    check_mounts(bench, head, desired, foreseen)
    observed = foreseen.observed
    check_data(bench, head, desired, base, foreseen)
    check_variables(bench, head, prepared, base)
    check_pinned_data(bench, head, desired, base, foreseen)
    steps = image_steps(missing, bench.options.build_memory)
    plan = bench.plan(desired, observed, Intent.ADVANCE, foreseen.back, steps)
    check_plan(bench, head, plan, observed, desired.memory)
    check_ports(bench, desired, observed)
    check_missing_networks(desired, observed)
    check_networks(plan, observed)
    check_names(plan, observed)
    check_addresses(plan, desired, observed)
    check_subnets(bench, plan, desired, observed)
    return _attempt(bench, head, prepared, images, base)


def _attempt(
    bench: Bench, head: Commit, prepared: Prepared, images: dict[str, Image], base: DesiredState | None
) -> Turn:
    attempt = bench.book.start(head.sha, Intent.ADVANCE, prepared.violations)
    known = bench.book.history.defects.get(head.sha, 0)
    try:
        desired = _with_images(bench, attempt, prepared, images)
        return _roll(bench, attempt, prepared, images, desired, base)
    except ImageFailed as error:
        return _refuse(bench, attempt, Failure(error.reason, error.message, log=error.details))
    except Anew as again:
        give_way(bench.book, attempt, again)
        raise
    except Interrupted as error:
        if not bench.book.condemned(attempt.id):
            bench.interrupted(attempt, error)
        raise
    except ENVIRONMENT as error:
        if not bench.book.attempt(attempt.id).open or bench.book.condemned(attempt.id):
            raise
        return bench.fault(attempt, error)
    except (ReconcilerError, Ended):
        raise
    except Exception as error:
        if not bench.book.attempt(attempt.id).open or bench.book.condemned(attempt.id):
            raise
        # What was met on the way back from another one is not counted as well.
        counted = bench.book.history.defects.get(head.sha, 0) > known
        if counted or not unforeseen.note(bench.book, head.sha, error):
            return bench.fault(attempt, unforeseen.fault(error))
        return _refuse(bench, attempt, Failure(Reason.INTERNAL_ERROR, unforeseen.told(error)))


def _local(bench: Bench, head: Commit, prepared: Prepared) -> dict[str, Image]:
    """What the machine has already, and a new commit does not fetch all the same."""
    known = _is_good(bench, head)
    bench.begins("look for images", "the engine")
    now = bench.ports.clock.now()
    return local_images(bench, prepared, head.sha, lambda want, image: not known and is_fetched_anew(want, image, now))


def _is_good(bench: Bench, head: Commit) -> bool:
    """Whether it is last good's own commit, judged again because the host's secrets have changed."""
    good = bench.book.history.last_good
    return good is not None and good.revision == head.sha


def _with_images(bench: Bench, attempt: Attempt, prepared: Prepared, images: dict[str, Image]) -> DesiredState:
    missing = [want for want in prepared.wants if want.key not in images]
    steps = image_steps(missing)
    with bench.attention.watching(Newer(bench)):
        for want, step in zip(missing, steps, strict=True):
            bench.step(attempt, step, len(steps))
            images[want.key] = fetch(bench, attempt, want, prepared.files)
    desired = bench.lower(prepared, images, attempt.revision)
    bad = bench.book.history.bad_content(desired.content)
    if bad is not None:
        message = f"the same content as {bad.revision[:12]}, which was refused ({bad.reason})"
        raise Ended(_refuse(bench, attempt, Failure(Reason.REVISION_QUARANTINED, message), desired.content))
    return desired


def _roll(
    bench: Bench,
    attempt: Attempt,
    prepared: Prepared,
    images: dict[str, Image],
    desired: DesiredState,
    base: DesiredState | None,
) -> Turn:
    observed = bench.inspect(desired, base, images=images.values(), new=True)
    base = bench.good()
    bench.save(desired, prepared)
    bench.write_trees(desired, prepared.files)
    stacks = [stack.name for stack in desired.stacks]
    digests = {want.ref: images[want.key].digest for want in prepared.wants}
    bench.book.append("prepared", attempt=attempt.id, content=desired.content, stacks=stacks, images=digests)
    plan = bench.plan(desired, observed, Intent.ADVANCE, base, mending=changed_by_others(bench, desired, observed))
    if plan.violations:
        first = plan.violations[0]
        raise Transient(first.reason, first.message, first.hint)
    check_names(plan, observed)
    check_subnets(bench, plan, desired, observed)
    rollout = bench.rollout(attempt, desired, base, observed, plan)
    try:
        rollout.walk()
    except RolloutFailed as error:
        condemned = error.failure.reason is not Reason.DEPENDENCY_NOT_READY
        return go_back(bench, attempt, error.failure, desired, rollout, condemned=condemned)
    except Away:
        raise  # no way leads back before it answers, and then the way on is as short
    except Transient as error:
        if not rollout.touched:
            raise
        return go_back(bench, attempt, Failure(error.reason, error.message), desired, rollout, condemned=False)
    except (ReconcilerError, Anew):
        raise
    except Exception as error:
        if not rollout.touched:
            raise
        enough = unforeseen.note(bench.book, attempt.revision, error)
        failure = Failure(Reason.INTERNAL_ERROR, unforeseen.told(error))
        return go_back(bench, attempt, failure, desired, rollout, condemned=enough)
    return _succeed(bench, attempt, desired, rollout)


def _succeed(bench: Bench, attempt: Attempt, desired: DesiredState, rollout: Rollout) -> Turn:
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
    turn = bench.book.end(ending, attempt.revision, attempt.intent, attempt.id)
    bench.pin("good", attempt.revision)
    close(bench, attempt, rollout)
    return turn


def _refuse(bench: Bench, attempt: Attempt, failure: Failure, content: str | None = None) -> Turn:
    """The commit is bad, and nothing was created or stopped for it."""
    ending = Ending(
        Outcome.REJECTED, failure.reason, failure.message, CommitState.FAILURE, content, failure=failure, hint=MEND
    )
    turn = bench.book.end(ending, attempt.revision, attempt.intent, attempt.id)
    pin_bad(bench, attempt.revision, content)
    collect(bench)
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
