"""Holds a commit that would hide live data from a service, and records which places hold data of good commits."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.decide.hold.vanishing import dropped, questioned, sources, vanishing
from reconciler.loop.judge import ask_about
from reconciler.loop.ledger import Ledger
from reconciler.loop.machine import Foreseen
from reconciler.loop.options import Ports
from reconciler.model.desired import DesiredState, Service
from reconciler.model.files import Commit
from reconciler.model.images import is_unresolved
from reconciler.model.observed import ObservedState


def check_data(
    ports: Ports, ledger: Ledger, head: Commit, desired: DesiredState, base: DesiredState | None, foreseen: Foreseen
) -> None:
    """A commit that hides live data from a service is held until a person accepts it."""
    places, files, observed = ports.preparer.places, ports.host_files, foreseen.observed
    known = ledger.history.links
    filled = files.filled(questioned(desired, base, observed, places), known)
    links = {**known, **foreseen.verdict.links}
    asked_of = {service.image for service, _, _ in dropped(desired, base, observed)} - observed.images.keys()
    images = {**observed.images, **ports.observer.defaults(item for item in asked_of if not is_unresolved(item))}
    proven = ledger.history.unproven & {item for service in _services(base) for item in sources(service)}
    if proven:
        ledger.owe("proven", places=sorted(proven))
    unproven = ledger.history.unproven - proven
    found = vanishing(desired, base, observed, places, filled, links, images, unproven)
    asked = {f"{place} (in {head.sha[:12]})": place for place in found}
    hint = (
        "mount what was mounted there (a volume keeps its data with `name: OLD` under its new key), or move the "
        f"data; if this is intended, `reconciler accept {head.sha[:12]}`: nothing is deleted"
    )
    ask_about(ledger, head, asked, "would hide data", hint)


def note_unproven(ports: Ports, ledger: Ledger, desired: DesiredState, observed: ObservedState) -> None:
    """What an attempt writes into an empty place counts as data once a good commit has used the place."""
    used = {item for service in _services(desired) for item in sources(service)}
    folders = {item for item in used if item.startswith(f"{ports.preparer.places.data}/")}
    volumes = {volume.name for stack in desired.stacks for volume in stack.volumes}
    new = (used & volumes) - observed.volumes.keys() | folders - ports.host_files.filled(folders, ledger.history.links)
    if new - ledger.history.unproven:
        ledger.owe("made", places=sorted(new))


def _services(state: DesiredState | None) -> Iterable[Service]:
    return state.services().values() if state is not None else ()
