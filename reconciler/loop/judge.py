"""Judges a commit before anything is touched: rejected, held, or tried again later. Raises Ended or Transient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from reconciler.decide import footprint
from reconciler.decide.hold import images_of_others, subnets
from reconciler.decide.hold.consent import Taking, remedy, told
from reconciler.decide.hold.names import taken
from reconciler.decide.hold.shrinking import dropped_lately, shrinkage
from reconciler.decide.lower.pull_policy import unobtainable
from reconciler.decide.mounts.sources import services_of
from reconciler.decide.plan.bounds import BUILD
from reconciler.decide.plan.exclusive import occupied
from reconciler.decide.plan.ranges import taker
from reconciler.errors import Transient
from reconciler.formats.compose_names import NAMESPACES
from reconciler.loop.context import TurnContext
from reconciler.loop.keep import keep
from reconciler.loop.ledger import Ending, Ledger, place
from reconciler.loop.machine import Foreseen
from reconciler.loop.mounted import in_the_way
from reconciler.loop.options import Ports
from reconciler.loop.prepare import HOST_MISSING, Prepared
from reconciler.loop.turn import Ended, Turn
from reconciler.model.desired import DesiredState, Service, wanted_networks
from reconciler.model.documents import Memory
from reconciler.model.files import Commit
from reconciler.model.history import Bad
from reconciler.model.images import ImageWant
from reconciler.model.needs import Variable
from reconciler.model.observed import LABEL_HOST, ObservedState
from reconciler.model.outcome import CommitState, Intent, Level, Outcome, Reason, Violation
from reconciler.model.plan import Action, Plan


def reject(ports: Ports, ledger: Ledger, head: Commit, violations: tuple[Violation, ...]) -> Turn:
    """A denied commit gets its final state at once; a commit without a Host document is held."""
    denied = [item for item in violations if item.level is Level.DENY]
    first = denied[0]
    message = f"{place(first)}{first.message}" + (f" (and {len(denied) - 1} more)" if len(denied) > 1 else "")
    if first.rule == HOST_MISSING:
        hint = f"{first.hint} If nothing is to run here any more: `reconciler accept {head.sha[:12]}`; volumes stay."
        return Turn(Outcome.HELD, first.reason, message, head.sha, Intent.ADVANCE, violations=violations, hint=hint)
    good = ledger.history.last_good
    if good is not None and good.revision == head.sha:  # it was admitted: the host's secrets have changed since
        reason, hint = first.reason, first.hint
        if isinstance(first.need, Variable):
            reason, where = Reason.FILE_MISSING, f"{ports.preparer.places.secrets}/{first.need.stack}"
            hint = f"put {first.need.name} back into {where}.env, or as the file {where}/{first.need.name}"
        message = f"last good keeps running, but cannot be judged with the present secrets: {message}"
        return Turn(Outcome.HELD, reason, message, head.sha, Intent.ADVANCE, violations=violations, hint=hint)
    inputs = ports.preparer.inputs()
    known = ledger.history.quarantined.get(head.sha)
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
    return ledger.end(ending, head.sha, Intent.ADVANCE)


def check_shrink(ports: Ports, ledger: Ledger, head: Commit, desired: DesiredState, base: DesiredState | None) -> None:
    """A commit that drops most services, alone or after others of the same day, is held until a person accepts it."""
    found = shrinkage(desired, base, dropped_lately(ledger.history, ports.clock.now()))
    if found is None:
        return
    names = ", ".join(f"{stack}/{name}" for stack, name in found.gone[:5])
    when = "in a day, with the commits before it" if found.earlier else "at once"
    message = f"{head.sha[:12]} drops {len(found.gone)} of {found.before} services {when} ({names})"
    hint = f"if this is intended, `reconciler accept {head.sha[:12]}`; volumes always stay"
    raise Ended(Turn(Outcome.HELD, Reason.CONSENT_MISSING, message, head.sha, Intent.ADVANCE, hint=hint))


def check_consent(ledger: Ledger, head: Commit, takings: Sequence[Taking]) -> None:
    """Objects that others made are taken over only with a person's consent to exactly these. They are recorded before
    they are shown, so that an `accept` covers them."""
    if not takings:
        return
    message = f"{head.sha[:12]} would take over objects that this agent did not make: {told(takings)}"
    raise Ended(_ask(ledger, head, [item.key for item in takings], message, remedy(takings, head.sha)))


def _ask(ledger: Ledger, head: Commit, shown: Sequence[str], message: str, hint: str) -> Turn:
    """Held until a person accepts exactly the shown objects; recorded once while they stay the same."""
    if ledger.history.asked.get(head.sha) != frozenset(shown):
        ledger.append("asked", revision=head.sha, objects=sorted(shown))
    return Turn(Outcome.HELD, Reason.CONSENT_MISSING, message, head.sha, Intent.ADVANCE, hint=hint)


def check_pinned_data(
    ports: Ports, ledger: Ledger, head: Commit, desired: DesiredState, base: DesiredState | None, foreseen: Foreseen
) -> None:
    """A service that is equal to root reads data that somebody else could have written only after a person has accepted
    it."""
    permissions, places = ports.preparer.permissions, ports.preparer.places
    if not permissions.pinned or permissions.owner or permissions.signed:
        return
    from reconciler.decide.hold.pinned_data import questioned, read_anew, written_behind

    there = {*foreseen.observed.volumes}
    there |= ports.host_files.filled(questioned(desired, places), ledger.history.links)
    said = [
        f"{service.stack}/{service.name} would read {item}, which it has not read with these rights so far"
        for service, item in read_anew(desired, base, foreseen.observed, permissions, places)
        if item in there
    ]
    said += [
        f"{writer.stack}/{writer.name} would write {item}, which {pinned.stack}/{pinned.name} reads in last good"
        for writer, pinned, item in written_behind(desired, base, permissions, places)
    ]
    hint = (
        "whoever writes there decides what such a service does. Look at the data, then "
        f"`reconciler accept {head.sha[:12]}`; or mount another volume"
    )
    asked = {f"{place} (in {head.sha[:12]})": place for place in said}
    ask_about(ledger, head, asked, "changes data that a service equal to root reads", hint)


def check_variables(ledger: Ledger, head: Commit, prepared: Prepared, base: DesiredState | None) -> None:
    """`environment: [NAME]` without a value may be unset. Where last good has a value for it, a secret was removed, and
    the commit is held."""
    before = base.services() if base else {}
    lost = [
        f"{source.document.name}/{name} would start without {variable}, which it has in last good"
        for source in prepared.sources
        for name, model in services_of(source).items()
        if (old := before.get((source.document.name, name))) is not None
        for variable, value in (model.get("environment") or {}).items()
        if value is None and variable in (old.config.get("environment") or {})
    ]
    hint = (
        "put the value back into secrets_dir, or take the name out of the file; if it is meant, "
        f"`reconciler accept {head.sha[:12]}`"
    )
    asked = {f"{place} (in {head.sha[:12]})": place for place in lost}
    ask_about(ledger, head, asked, "names a variable that is not set any more", hint)


def ask_about(ledger: Ledger, head: Commit, asked: Mapping[str, str], what: str, hint: str) -> None:
    """`asked`: maps the key that consent is recorded for to its description. Held while any of it has not been
    accepted."""
    found = [place for key, place in asked.items() if key not in ledger.history.consented]
    if found:
        more = f" (and {len(found) - 1} more places)" if len(found) > 1 else ""
        raise Ended(_ask(ledger, head, list(asked), f"{head.sha[:12]} {what}: {found[0]}{more}", hint))


def check_mounts(ports: Ports, ledger: Ledger, head: Commit, desired: DesiredState, foreseen: Foreseen) -> None:
    """Held until a person removes the link that a container made, or splits the commit."""
    links = {**ledger.history.links, **foreseen.verdict.links}
    found = in_the_way(desired, foreseen.back, foreseen.observed, links, ports.host_files, ports.preparer)
    for item in found:
        raise Ended(Turn(Outcome.HELD, Reason.POLICY_VIOLATION, item.message, head.sha, Intent.ADVANCE, hint=item.hint))


def check_content(context: TurnContext, head: Commit, prepared: Prepared, desired: DesiredState) -> None:
    """Quarantined content is not tried again under another sha; running content is not rolled out again."""
    history = context.ledger.history
    bad = history.bad_content(desired.content)
    if bad is not None and bad.revision == head.sha:
        raise Ended(_stays_refused(context, head, bad))
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
        raise Ended(context.ledger.end(ending, head.sha, Intent.ADVANCE))
    good = history.last_good
    if good is not None and good.content == desired.content:
        context.states.save(desired, prepared)
        raise Ended(_same_content(context, head, good.revision, desired.content))


def _stays_refused(context: TurnContext, head: Commit, bad: Bad) -> Turn:
    """The commit of last good failed with changed secrets: the state with the earlier secrets is kept."""
    kept = keep(context, head)
    message = f"{head.sha[:12]} with the changed secrets was refused ({bad.reason}); the state before them runs again"
    hint = "fix the secrets in secrets_dir, or push a new commit"
    return replace(kept, reason=Reason.REVISION_QUARANTINED, message=message, hint=hint, applied=False)


def _same_content(context: TurnContext, head: Commit, revision: str, content: str) -> Turn:
    if head.sha == revision:
        return keep(context, head)
    message = f"the same content as {revision[:12]}, which runs"
    ending = Ending(
        Outcome.SUCCEEDED, Reason.RECONCILIATION_SUCCEEDED, message, CommitState.SUCCESS, content, good=True
    )
    turn = context.ledger.end(ending, head.sha, Intent.ADVANCE)
    context.states.pin("good", head.sha)
    kept = keep(context, head)
    return turn if kept.outcome is Outcome.UNCHANGED else kept


def check_images(context: TurnContext, head: Commit, missing: Sequence[ImageWant]) -> None:
    """Held while `pull_policy` forbids a pull of a missing image. Image names of others on this machine are neither
    moved nor read without consent."""
    found = unobtainable(missing)
    if missing and not found:
        found = images_of_others.in_the_way(missing, context.ports.images.stored(), context.machine.stacks())
    if found:
        first = found[0]
        raise Ended(Turn(Outcome.HELD, first.reason, first.message, head.sha, Intent.ADVANCE, hint=first.hint))


def check_plan(ports: Ports, ledger: Ledger, head: Commit, plan: Plan, observed: ObservedState, memory: Memory) -> None:
    """Over the budget by the commit's own sum: rejected. Over because of the engine or other containers: tried
    again."""
    if not plan.violations:
        return
    first = plan.violations[0]
    if first.rule == BUILD:
        raise Transient(first.reason, first.message, first.hint)
    own = plan.peak - sum(map(footprint.of_foreign, observed.foreign))
    if first.reason is Reason.BUDGET_EXCEEDED and own <= memory.budget - memory.reserve:
        raise Transient(first.reason, first.message, first.hint)
    raise Ended(reject(ports, ledger, head, plan.violations))


def check_missing(desired: DesiredState, observed: ObservedState) -> None:
    """An external network or volume that does not exist is waited for: a person makes it."""
    networks = {network.name for stack in desired.stacks for network in stack.networks} | observed.networks.keys()
    networks |= {name for item in observed.networks.values() for name in (item.id, item.id[:12])}  # of network_mode
    volumes = {volume.name for stack in desired.stacks for volume in stack.volumes} | observed.volumes.keys()
    for stack in desired.stacks:
        for service in stack.services if not stack.suspended else ():
            named = (item for item in service.config.get("volumes") or () if item["type"] == "volume")
            mounted = {str(item["source"]) for item in named if item.get("source")}
            asked = {end.network for end in service.endpoints} | _named_by_mode(service)
            missing = [("network", name) for name in sorted(asked - networks)]
            for kind, name in [*missing, *(("volume", name) for name in sorted(mounted - volumes))]:
                raise Transient(
                    Reason.DEPENDENCY_NOT_READY,
                    f"{service.stack}/{service.name} uses the external {kind} {name}, which does not exist",
                    f"docker {kind} create {name}",
                )


def _named_by_mode(service: Service) -> set[str]:
    """The network that `network_mode: NAME` names; empty with any other mode."""
    mode = str(service.config.get("network_mode") or "")
    return set() if mode in ("", "none", "host", "bridge", "default") or ":" in mode else {mode}


def check_namespaces(desired: DesiredState, observed: ObservedState) -> None:
    """Transient while an unmanaged container does not run whose namespace a service uses."""
    services = [service for stack in desired.stacks if not stack.suspended for service in stack.services]
    ours = {item.name for item in observed.containers} | {str(item.config.get("container_name")) for item in services}
    ours |= {f"{one.stack}-{one.name}-{number}" for one in services for number in range(1, one.replicas + 1)}
    for service in services:
        for key in NAMESPACES:
            kind, _, name = str(service.config.get(key) or "").partition(":")
            if kind != "container" or name in ours:
                continue
            if not any(name == item.name or item.id.startswith(name) for item in observed.foreign):
                raise Transient(
                    Reason.DEPENDENCY_NOT_READY,
                    f"{service.stack}/{service.name} needs the container {name} ({key}), which does not run",
                    f"docker start {name}; it is tried again by itself",
                )


def check_networks(plan: Plan, desired: DesiredState, observed: ObservedState) -> None:
    """Waits while an unmanaged container is in a network that must be replaced or removed."""
    ours = {item.id for item in observed.containers}
    names = {item.id: item.name for item in observed.foreign}
    going = {s.container for s in plan.steps if s.action in (Action.REPLACE_NETWORK, Action.REMOVE_NETWORK)}
    made, wanted = subnets.made(plan, desired), wanted_networks(desired)
    for name, network in sorted(observed.networks.items()):
        # The plan removes none with an unmanaged container, also if another network takes its range.
        old = network.labels.get(LABEL_HOST) == desired.host and name not in wanted
        if network.containers <= ours or not (name in going or (old and taker(network, made))):
            continue
        others = ", ".join(sorted(names.get(item, item[:12]) for item in network.containers - ours))
        raise Transient(
            Reason.DEPENDENCY_NOT_READY,
            f"network {network.name} must be replaced or removed, and unmanaged containers are in it: {others}",
            f"docker network disconnect {network.name} CONTAINER; it is tried again by itself",
        )


def check_addresses(plan: Plan, desired: DesiredState, observed: ObservedState) -> None:
    """Waits for an address that another running container holds."""
    for service, address, holder in occupied(desired, observed, plan):
        raise Transient(
            Reason.DEPENDENCY_NOT_READY,
            f"{service.stack}/{service.name} asks for the address {address}, which {holder} has",
            f"stop {holder}, or choose another address; it is tried again by itself",
        )


def check_names(plan: Plan, desired: DesiredState, observed: ObservedState) -> None:
    """Waits for a name that an unmanaged container or one of a suspended stack has."""
    for found in taken(plan, observed, {stack.name for stack in desired.stacks if stack.suspended}):
        raise Transient(Reason.DEPENDENCY_NOT_READY, found.message, found.hint)
