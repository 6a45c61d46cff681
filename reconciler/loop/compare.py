"""Compares the running containers with the applied state: at once if something may have changed, else periodically."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from reconciler.decide.drift.corrections import Corrections, corrections, is_ailing, uses_unmanaged
from reconciler.decide.drift.restart_backoff import next_start, recovered
from reconciler.loop.context import TurnContext
from reconciler.loop.ledger import Ledger
from reconciler.loop.options import Ports
from reconciler.model.desired import DesiredState, ServiceKey
from reconciler.model.history import Adopted
from reconciler.model.observed import Container, ObservedState

SLOW = 600.0
"""Seconds between full comparisons that no event asked for."""


def is_as_applied(context: TurnContext, desired: DesiredState, looked: ObservedState) -> bool:
    """Whether the containers of the sparse look are still as they were made. Takes one engine call for each container,
    or none. A look shows no unmanaged containers, whose namespaces a service may use."""
    now = context.ports.clock.monotonic()
    told = context.ports.changed()
    sight = (desired.content, looked.containers)
    if not told and context.compared is not None and context.compared[1] == sight and now - context.compared[0] < SLOW:
        return True
    context.compared = None
    if uses_unmanaged(desired):
        return False
    detailed = context.machine.details(looked)
    if find(context.ports, context.ledger, desired, detailed).needed:
        return False
    if not any(is_ailing(item) for item in detailed.containers):
        context.compared = (now, sight)
    return True


def find(ports: Ports, ledger: Ledger, desired: DesiredState, observed: ObservedState) -> Corrections:
    """Faults of containers that have the desired spec. Records services that are healthy again."""
    _note_recovered(ports, ledger, observed)
    return _wrong(ports, ledger, desired, observed)


def _wrong(
    ports: Ports,
    ledger: Ledger,
    desired: DesiredState,
    observed: ObservedState,
    adopting: Mapping[str, Adopted] | None = None,
) -> Corrections:
    known, history = ports.store.current(desired.content), ledger.history
    if adopting:
        history = replace(history, adopted={**history.adopted, **adopting})
    return corrections(desired, observed, history, ports.clock.now(), secrets_known=known)


def changed_by_others(
    ports: Ports,
    ledger: Ledger,
    desired: DesiredState,
    observed: ObservedState,
    adopting: Mapping[str, Adopted] | None = None,
) -> Corrections:
    """Drift, correctable in place, of containers that a commit or the rollback keeps.

    Drift that needs another container is left to the next turn. Nothing is recorded: the rollback must not need space
    on the disk. `adopting`: containers that are adopted when the attempt begins.
    """
    found = _wrong(ports, ledger, desired, observed, adopting)
    return Corrections({id: items for id, items in found.drift.items() if id not in found.replaced})


def left_alone(
    ports: Ports, ledger: Ledger, observed: ObservedState
) -> dict[ServiceKey, tuple[Container, float | None]]:
    """Failed services that are not started again now → one container, and the time of its next start (None: gave
    up)."""
    now = ports.clock.now()
    found = {}
    for item in observed.containers:
        again = next_start(ledger.history.backoffs.get((item.stack, item.service)), now)
        waits = again is None or again > now
        if waits and (item.state == "exited" or is_ailing(item)):
            found[(item.stack, item.service)] = (item, again)
    return found


def _note_recovered(ports: Ports, ledger: Ledger, observed: ObservedState) -> None:
    for (stack, service), backoff in ledger.history.backoffs.items():
        own = observed.of(stack, service)
        good = own and all(item.state == "running" and item.health in ("none", "healthy") for item in own)
        if good and recovered(backoff, ports.clock.now()):
            ledger.append("recovered", stack=stack, service=service)
