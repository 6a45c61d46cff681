"""The end of an attempt: cleans up after its verdict, and removes images, trees and models that nothing needs any more.

An attempt counts as closed only when this is done. So after a crash here, the next turn finishes the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from reconciler.decide.history import garbage
from reconciler.errors import ReconcilerError
from reconciler.loop.context import TurnContext
from reconciler.loop.ledger import Ledger
from reconciler.loop.options import Ports
from reconciler.loop.rollout import Rollout
from reconciler.model.desired import DesiredState
from reconciler.model.files import Files
from reconciler.model.history import Attempt
from reconciler.model.images import Image, ImageWant
from reconciler.model.stock import InUse

LONGEST = 10.0
"""Seconds after which no further image is removed in this turn, because the commit's state is reported only
afterwards."""


def fetch(ports: Ports, ledger: Ledger, attempt: Attempt, want: ImageWant, files: Files) -> Image:
    """Build or pull, and record that this agent did. An image that the machine had before does not become ours by a
    pull."""
    images, applier = ports.images, ports.applier
    if want.build is not None:
        ledger.append("fetched", revision=attempt.revision, image=want.tag, names=[])
        return applier.build(want, files)
    before = {image.id for image in images.stored()}
    pulled = applier.pull(want)
    if pulled.id not in before:
        names = next((image.names for image in images.stored() if image.id == pulled.id), ())
        ledger.append("fetched", revision=attempt.revision, image=pulled.id, names=names)
    return pulled


def close(context: TurnContext, attempt: Attempt, rollout: Rollout) -> None:
    """The cleanup after a durable verdict. The next turn repeats the parts that fail here."""
    with suppress(ReconcilerError):
        rollout.close()
        gone = collect(context)
        context.ledger.append("closed", attempt=attempt.id, gone=gone)


def collect(context: TurnContext) -> Sequence[str]:
    """Remove unneeded images and files. Returns fetched images that have disappeared.

    Objects that cannot be removed now are removed next time; nothing depends on that.
    """
    if any(attempt.open for attempt in context.ledger.history.attempts):
        return ()
    gone: Sequence[str] = ()
    with suppress(ReconcilerError):
        states = _kept_states(context.ports, context.ledger)
        if states is not None:
            used = context.ports.observer.in_use()
            _collect_files(context.ports, states, used)
            gone = _collect_images(context, states, used)
            _tidy_mirror(context.ports, context.ledger)
    return gone


def _kept_states(ports: Ports, ledger: Ledger) -> list[DesiredState] | None:
    """None if last good is not known in full: then its needs are unknown."""
    good = ledger.history.last_good
    found = [ports.store.load(content) for content in garbage.retained(ledger.history) if content]
    states = [state for state in found if state is not None]
    if good is not None and good.content not in [state.content for state in states]:
        return None
    return states


def _collect_files(ports: Ports, states: Sequence[DesiredState], used: InUse) -> None:
    ports.applier.remove_trees(garbage.surplus_trees(ports.applier.stored_trees(), states, used))
    ports.store.keep([state.content for state in states])


def _collect_images(context: TurnContext, states: Sequence[DesiredState], used: InUse) -> Sequence[str]:
    images, clock = context.ports.images, context.ports.clock
    until = clock.monotonic() + LONGEST
    for name in garbage.surplus_images(
        images.stored(), states, used, context.machine.stacks(*states), context.ledger.history
    ):
        if clock.monotonic() > until or context.options.stopping():
            break
        context.ports.applier.remove_image(name)
    return garbage.gone(images.stored(), context.ledger.history.fetched)


def _tidy_mirror(ports: Ports, ledger: Ledger) -> None:
    """A commit whose final state is not reported yet must stay in the mirror, even if it has left the branch."""
    history = ledger.history
    if not history.finals.keys() - history.told - set(history.seen[-1:]):
        ports.source.tidy()
