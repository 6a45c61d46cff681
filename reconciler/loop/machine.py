"""Observes the machine: managed containers, containers that others made for our services, and their adoption."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.decide.drift.overlay import overlay
from reconciler.errors import Transient
from reconciler.loop.lazy_files import LazyFiles
from reconciler.loop.ledger import Ledger
from reconciler.loop.options import Options, Ports
from reconciler.loop.stall_watchdog import StallWatchdog
from reconciler.loop.states import States
from reconciler.model.desired import DesiredState
from reconciler.model.history import Adopted
from reconciler.model.images import Image
from reconciler.model.observed import ObservedState
from reconciler.model.outcome import Reason
from reconciler.values import dataclass

if TYPE_CHECKING:
    from reconciler.decide.drift.adoption import Verdict
    from reconciler.decide.hold.consent import Taking


@dataclass(frozen=True, slots=True)
class Foreseen:
    """The observed state for a commit. `back`: its rollback state. `takings`: objects that still need consent."""

    observed: ObservedState
    back: DesiredState | None
    verdict: Verdict
    takings: tuple[Taking, ...] = ()


@dataclass(frozen=True, slots=True)
class _Look:
    """The last sparse look, and its inputs. If no input has changed, the same objects are returned."""

    observed: ObservedState
    adopted: Mapping[str, Adopted]
    contents: tuple[str, ...]
    known: ObservedState


class Machine:
    """The observed state. A sparse look is one call; a full one takes one call for each container."""

    def __init__(self, ports: Ports, options: Options, ledger: Ledger, watchdog: StallWatchdog, states: States) -> None:
        self._ports, self._options, self._ledger = ports, options, ledger
        self._watchdog, self._states = watchdog, states
        self._last: _Look | None = None

    def stacks(self, *states: DesiredState | None) -> list[str]:
        """Names of every stack that this agent manages or managed, sorted."""
        names = {stack.name for state in states if state for stack in state.stacks}
        return sorted(names | self._ledger.history.stacks)

    def look(self, *states: DesiredState | None) -> ObservedState:
        """A sparse list: managed containers, and those that somebody else made for services of `states`.

        Returns the same object as before if nothing has changed.
        """
        observed, adopted = self._ports.observer.look(self.stacks(*states)), self._ledger.history.adopted
        contents = tuple(state.content for state in states if state)
        last = self._last
        if last is not None and last.observed is observed and last.adopted is adopted and last.contents == contents:
            return last.known
        known = overlay(observed, adopted, self._options.host)
        ours = {key for state in states if state for key in state.services()}
        kept = (c for c in known.containers if c.host is not None or (c.number and (c.stack, c.service) in ours))
        self._last = _Look(observed, adopted, contents, replace(known, containers=tuple(kept)))
        return self._last.known

    def details(self, looked: ObservedState) -> ObservedState:
        """The containers of `look`, each inspected."""
        details = self._ports.observer.details([item.id for item in looked.containers])
        images = self._ports.observer.defaults(item.image for item in details.values())
        detailed = replace(looked, containers=tuple(details.values()), images=images)
        return overlay(detailed, self._ledger.history.adopted, self._options.host)

    def inspect(
        self,
        target: DesiredState,
        other: DesiredState | None = None,
        *,
        images: Iterable[Image] = (),
        new: bool = False,
    ) -> ObservedState:
        """The full observed state. Adopts containers that plain Compose started for services of `target`.

        `images`: those of the target, if they have just been built. `new`: the target is a commit that was never good,
        so consent is asked for; `other` is last good then. Transient if a stack has containers of another host, or if
        objects have appeared that need consent.
        """
        from reconciler.decide.hold import consent

        raw, found, verdict = self._recognise(target, other, images)
        takings = self._unconsented(target, other, raw) if new else ()
        if takings:
            message = f"objects that this agent did not make have appeared: {consent.told(takings)}"
            raise Transient(Reason.CONSENT_MISSING, message, consent.remedy(takings, target.revision))
        if verdict.records:
            self._adopt(target, found, verdict)
        self._note_completed(found, (target, other))
        return found

    def foresee(self, target: DesiredState, base: DesiredState | None) -> Foreseen:
        """As `inspect`, with the rollback state, but adopts nothing. `base`: last good."""
        from reconciler.decide.drift.adoption import baseline

        raw, found, verdict = self._recognise(target, base, ())
        back = baseline(target, found, base, verdict) if verdict.records else base
        return Foreseen(found, back, verdict, self._unconsented(target, base, raw))

    def _unconsented(self, target: DesiredState, base: DesiredState | None, raw: ObservedState) -> tuple[Taking, ...]:
        from reconciler.decide.hold import consent

        history = self._ledger.history
        found = consent.takings(target, raw, base, history.adopted, self.stacks(target, base))
        return consent.left(found, self._options.adopt, history.consented)

    def _recognise(
        self, target: DesiredState, other: DesiredState | None, images: Iterable[Image]
    ) -> tuple[ObservedState, ObservedState, Verdict]:
        """The engine's answer, the answer with the overlay of adoption, and the adoptions to record."""
        from reconciler.loop import adopt

        self._watchdog.begins("look at the machine", "the engine")
        observed = self._ports.observer.inspect(self.stacks(target, other))
        adopted, host = self._ledger.history.adopted, self._options.host
        files = LazyFiles(self._states.files, target.revision)
        built = {image.id: image for image in images}
        own, verdict = adopt.recognise(
            target, observed, adopted, files, built, self._ports.host_files, self._ports.preparer.data
        )
        found = self._with_cut_off(adopt.with_verdict(own, adopted, verdict, host))
        self._refuse_unmanaged(found)
        return observed, found, verdict

    def _with_cut_off(self, observed: ObservedState) -> ObservedState:
        """Marks containers that a rollout stopped, and that nobody has started since."""
        stopped = self._ledger.history.stopped
        marked = (
            replace(item, cut_off=not item.running and stopped.get(item.id) == item.started_at)
            for item in observed.containers
        )
        return replace(observed, containers=tuple(marked))

    def _adopt(self, target: DesiredState, found: ObservedState, verdict: Verdict) -> None:
        """Records the adoption and its rollback state before anything depends on them."""
        from reconciler.decide.drift.adoption import baseline
        from reconciler.loop import adopt

        good = self._states.good()
        state = baseline(target, found, good, verdict)
        new = state.services().keys() != (good.services().keys() if good else set())
        if new:
            self._ports.store.save(state, {})
        stacks = [stack.name for stack in target.stacks]
        content = state.content if new else None
        self._ledger.append("adopted", stacks=stacks, content=content, **adopt.record(verdict))

    def _refuse_unmanaged(self, observed: ObservedState) -> None:
        unmanaged = [item for item in observed.containers if item.host != self._options.host and not item.oneoff]
        if unmanaged:
            names = " ".join(item.name for item in unmanaged[:3])
            host = unmanaged[0].host or "another"
            raise Transient(
                Reason.DEPENDENCY_NOT_READY,
                f"stack {unmanaged[0].stack} has containers that are not ours, but of the host {host}: {names}",
                f"give the stack another name; if no agent is {host} any more: docker rm -f {names} (volumes stay)",
            )

    def _note_completed(self, observed: ObservedState, states: Sequence[DesiredState | None]) -> None:
        """Records one-shots that an earlier, killed process started, and that have ended since."""
        from reconciler.decide.slots import completed

        once = {
            (*key, service.spec): service
            for state in states
            for key, service in (state.services() if state else {}).items()
            if service.completes
        }
        for item in observed.containers:
            service = once.get((item.stack, item.service, item.spec or ""))
            if service is not None and completed(item):
                self._ledger.ran_once(service)
