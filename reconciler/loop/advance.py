"""Forward: a commit is judged, prepared, switched in, and either becomes last good or is condemned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reconciler.decide.wanted_images import unresolved
from reconciler.errors import ENVIRONMENT, Away, ImageFailed, Interrupted, RolloutFailed, Transient
from reconciler.loop.bench import Bench
from reconciler.loop.book import Ending, place
from reconciler.loop.collect import close, collect, fetch
from reconciler.loop.keep import keep
from reconciler.loop.prepare import Prepared
from reconciler.loop.retreat import go_back, pin_bad
from reconciler.loop.rollout import Rollout
from reconciler.loop.turn import Ended, Superseded, Turn
from reconciler.model.desired import DesiredState
from reconciler.model.documents import Memory
from reconciler.model.files import Commit
from reconciler.model.history import Attempt, Bad
from reconciler.model.images import Image, ImageWant
from reconciler.model.observed import ObservedState
from reconciler.model.outcome import CommitState, Failure, Intent, Level, Outcome, Reason, Violation
from reconciler.model.plan import Action, Plan, Step

SHRINK = 0.5
"""A commit that drops more than this share of the services is held: rather a mistake than a wish."""

HOST_MISSING = "host-file-missing"
MEND = "mend the commit and push again"


def advance(bench: Bench, head: Commit) -> Turn:
    """Bring the machine to `head`. Transient where the environment keeps us from judging it."""
    prepared = _prepare(bench, head)
    if prepared.denied:
        return _reject(bench, head, prepared.violations)
    base = bench.good()
    images = _local(bench, head, prepared)
    desired = bench.lower(prepared, images, head.sha)
    if head.sha not in bench.book.history.accepted:
        _check_shrink(head, desired, base)
    missing = [want for want in prepared.wants if want.key not in images]
    if not missing:
        _check_content(bench, head, prepared, desired)
    observed, back = bench.foresee(desired, base)
    plan = bench.plan(desired, observed, Intent.ADVANCE, back, image_steps(missing))
    _check_plan(bench, head, plan, observed, desired.memory)
    _check_ports(bench, desired, observed)
    _check_networks(plan, observed)
    return _attempt(bench, head, prepared, images, base)


def _prepare(bench: Bench, head: Commit) -> Prepared:
    files = bench.files(head.sha)
    prepared = bench.ports.preparer.prepare(files)
    missing = prepared.denied and all(item.rule == HOST_MISSING for item in prepared.violations)
    if missing and head.sha in bench.book.history.accepted:
        return bench.ports.preparer.without_stacks(files)
    return prepared


def _attempt(
    bench: Bench, head: Commit, prepared: Prepared, images: dict[str, Image], base: DesiredState | None
) -> Turn:
    attempt = bench.book.start(head.sha, Intent.ADVANCE)
    try:
        desired = _with_images(bench, attempt, prepared, images)
        return _roll(bench, attempt, prepared, images, desired, base)
    except ImageFailed as error:
        return _refuse(bench, attempt, Failure(error.reason, error.message, log=error.details))
    except Superseded as newer:
        supersede(bench, attempt, newer.head)
        raise
    except Interrupted as error:
        if not bench.book.condemned(attempt.id):
            bench.interrupted(attempt, error)
        raise
    except ENVIRONMENT as error:
        if not bench.book.attempt(attempt.id).open or bench.book.condemned(attempt.id):
            raise
        return bench.fault(attempt, error)


def _local(bench: Bench, head: Commit, prepared: Prepared) -> dict[str, Image]:
    """What the machine has already; `pull_policy: always` asks for a pull with every new commit."""
    known = _is_good(bench, head)
    bench.begins("look for images", "the engine")
    asked = [want for want in prepared.wants if known or want.build is not None or want.pull_policy != "always"]
    return dict(bench.ports.images.local(asked))


def _is_good(bench: Bench, head: Commit) -> bool:
    """Whether it is last good's own commit, judged again because the host's secrets have changed."""
    good = bench.book.history.last_good
    return good is not None and good.revision == head.sha


# -- judging before anything is touched --------------------------------------------------------------------------


def supersede(bench: Bench, attempt: Attempt, head: Commit) -> None:
    """An attempt under way ends because a newer commit is head."""
    state = CommitState.SUPERSEDED if attempt.intent is Intent.ADVANCE else None
    ending = Ending(Outcome.SUPERSEDED, Reason.SUPERSEDED, f"{head.sha[:12]} took over", state)
    bench.book.end(ending, attempt.revision, attempt.intent, attempt.id)


def _reject(bench: Bench, head: Commit, violations: tuple[Violation, ...]) -> Turn:
    denied = [item for item in violations if item.level is Level.DENY]
    first = denied[0]
    message = f"{place(first)}{first.message}" + (f" (and {len(denied) - 1} more)" if len(denied) > 1 else "")
    if first.rule == HOST_MISSING:
        return Turn(
            Outcome.HELD, first.reason, message, head.sha, Intent.ADVANCE, violations=violations, hint=first.hint
        )
    inputs = bench.ports.preparer.inputs()
    known = bench.book.history.quarantined.get(head.sha)
    if known is not None and known.inputs == inputs:
        return Turn(Outcome.REJECTED, first.reason, message, head.sha, Intent.ADVANCE, violations=violations)
    ending = Ending(
        Outcome.REJECTED,
        first.reason,
        message,
        CommitState.FAILURE,
        violations=violations,
        hint=first.hint,
        inputs=inputs,
    )
    return bench.book.end(ending, head.sha, Intent.ADVANCE)


def _check_shrink(head: Commit, desired: DesiredState, base: DesiredState | None) -> None:
    before = set(base.services()) if base else set()
    gone = before - set(desired.services())
    if before and len(gone) > len(before) * SHRINK:
        names = ", ".join(f"{stack}/{name}" for stack, name in sorted(gone)[:5])
        message = f"{head.sha[:12]} drops {len(gone)} of {len(before)} services at once ({names})"
        hint = f"if that is meant, `reconciler accept {head.sha[:12]}`; volumes always stay"
        raise Ended(Turn(Outcome.HELD, Reason.FILE_MISSING, message, head.sha, Intent.ADVANCE, hint=hint))


def _check_content(bench: Bench, head: Commit, prepared: Prepared, desired: DesiredState) -> None:
    """What was condemned is not tried again under another sha; what runs is not rolled out again."""
    history = bench.book.history
    bad = history.bad_content(desired.content)
    if bad is not None and bad.revision == head.sha:
        raise Ended(_stays_refused(bench, head, bad))
    if bad is not None:
        message = f"the same content as {bad.revision[:12]}, which was refused ({bad.reason})"
        ending = Ending(
            Outcome.REJECTED,
            Reason.REVISION_QUARANTINED,
            message,
            CommitState.FAILURE,
            desired.content,
            hint="change something that matters and push again",
        )
        raise Ended(bench.book.end(ending, head.sha, Intent.ADVANCE))
    good = history.last_good
    if good is not None and good.content == desired.content:
        bench.save(desired, prepared)
        raise Ended(_same_content(bench, head, good.revision, desired.content))


def _stays_refused(bench: Bench, head: Commit, bad: Bad) -> Turn:
    """Last good's own commit, rendered with secrets that made it fail: what ran before them is kept."""
    kept = keep(bench, head)
    message = f"{head.sha[:12]} with the changed secrets was refused ({bad.reason}); what ran before them runs"
    hint = "mend the secrets in secrets_dir, or push a new commit"
    return replace(kept, reason=Reason.REVISION_QUARANTINED, message=message, hint=hint, applied=False)


def _same_content(bench: Bench, head: Commit, revision: str, content: str) -> Turn:
    if head.sha == revision:
        return keep(bench, head)
    message = f"the same content as {revision[:12]}, which runs"
    ending = Ending(
        Outcome.SUCCEEDED, Reason.RECONCILIATION_SUCCEEDED, message, CommitState.SUCCESS, content, good=True
    )
    turn = bench.book.end(ending, head.sha, Intent.ADVANCE)
    bench.pin("good", head.sha)
    kept = keep(bench, head)
    return turn if kept.outcome is Outcome.UNCHANGED else kept


def _check_plan(bench: Bench, head: Commit, plan: Plan, observed: ObservedState, memory: Memory) -> None:
    """Over by our own sum: refused. Over because of the engine or of other containers: not the commit's fault."""
    if not plan.violations:
        return
    first = plan.violations[0]
    own = plan.peak - sum(item.memory for item in observed.foreign)
    if first.reason is Reason.BUDGET_EXCEEDED and own <= memory.budget - memory.reserve:
        raise Transient(first.reason, first.message, first.hint)
    raise Ended(_reject(bench, head, plan.violations))


def _check_networks(plan: Plan, observed: ObservedState) -> None:
    """A network cannot be replaced while somebody else's container is in it."""
    ours = {item.id for item in observed.containers}
    names = {item.id: item.name for item in observed.foreign}
    for step in plan.steps:
        network = observed.networks.get(step.container or "")
        if step.action is not Action.REPLACE_NETWORK or network is None or network.containers <= ours:
            continue
        others = ", ".join(sorted(names.get(item, item[:12]) for item in network.containers - ours))
        raise Transient(
            Reason.DEPENDENCY_NOT_READY,
            f"network {network.name} is to be replaced, and containers that are not ours are in it: {others}",
            f"docker network disconnect {network.name} CONTAINER; it is tried again by itself",
        )


def _check_ports(bench: Bench, desired: DesiredState, observed: ObservedState) -> None:
    ours = {port for item in observed.containers if item.running for port in item.ports}
    wanted = {
        port: service
        for stack in desired.stacks
        if not stack.suspended
        for service in stack.services
        for port in service.ports
        if port not in ours
    }
    for port, holder in bench.ports.observer.ports_taken(wanted).items():
        service = wanted[port]
        raise Transient(
            Reason.DEPENDENCY_NOT_READY,
            f"{service.stack}/{service.name} wants port {port[0]}:{port[1]}/{port[2]}, which {holder} holds",
            "stop the holder or publish another port; it is tried again by itself",
        )


# -- doing it ----------------------------------------------------------------------------------------------------


def _with_images(bench: Bench, attempt: Attempt, prepared: Prepared, images: dict[str, Image]) -> DesiredState:
    missing = [want for want in prepared.wants if want.key not in images]
    steps = image_steps(missing)
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
    observed = bench.inspect(desired, base, images=images.values())
    base = bench.good()
    bench.save(desired, prepared)
    bench.write_trees(desired, prepared.files)
    stacks = [stack.name for stack in desired.stacks]
    digests = {want.ref: images[want.key].digest for want in prepared.wants}
    bench.book.append("prepared", attempt=attempt.id, content=desired.content, stacks=stacks, images=digests)
    plan = bench.plan(desired, observed, Intent.ADVANCE, base)
    if plan.violations:
        first = plan.violations[0]
        raise Transient(first.reason, first.message, first.hint)
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


def image_steps(missing: Sequence[ImageWant]) -> tuple[Step, ...]:
    """The Pull and Build steps of a plan."""
    return tuple(
        Step(
            n,
            Action.BUILD if want.build else Action.PULL,
            want.stack,
            want.service,
            want.ref,
            "the machine does not have it",
            0,
            id=unresolved(want),
        )
        for n, want in enumerate(missing, 1)
    )
