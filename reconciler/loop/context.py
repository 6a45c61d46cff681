"""What a turn works with: looking at the machine, planning, and rollouts that notice a newer commit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from reconciler.decide.drift.adoption import Verdict, baseline, overlay
from reconciler.decide.drift.corrections import NOTHING, Corrections
from reconciler.decide.hold import consent
from reconciler.decide.hold.consent import Taking
from reconciler.decide.plan import planner
from reconciler.decide.slots import completed
from reconciler.errors import Interrupted, ReconcilerError, Transient
from reconciler.loop import adopt
from reconciler.loop.attention import Attention
from reconciler.loop.forward import is_forward
from reconciler.loop.lazy_files import LazyFiles
from reconciler.loop.ledger import Ending, Ledger
from reconciler.loop.newer import Newer
from reconciler.loop.options import Options, Ports
from reconciler.loop.prepare import HOST_MISSING, Prepared
from reconciler.loop.request_handler import RequestHandler
from reconciler.loop.rollout import Hooks, Rollout, World
from reconciler.loop.stall_watchdog import StallWatchdog
from reconciler.loop.turn import Turn
from reconciler.model.desired import DesiredState, Service
from reconciler.model.documents import BindGrant, Grant, Memory
from reconciler.model.files import Commit, Files
from reconciler.model.history import Attempt
from reconciler.model.images import Image
from reconciler.model.observed import ObservedState
from reconciler.model.outcome import Failure, Intent, Outcome, Reason
from reconciler.model.plan import Action, Plan, Step


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a commit would meet. `back`: what there would be to go back to. `takings`: what nobody has consented to."""

    observed: ObservedState
    back: DesiredState | None
    verdict: Verdict
    takings: tuple[Taking, ...] = ()


class TurnContext:
    """What advancing, going back and keeping have in common."""

    def __init__(self, ports: Ports, options: Options, ledger: Ledger) -> None:
        self.ports, self.options, self.ledger = ports, options, ledger
        self.watchdog = options.watchdog or StallWatchdog(ports.clock)
        self.handler = RequestHandler(
            ledger, ports.source, ports.requests, ports.clock, options.host, options.require_fast_forward
        )
        self.attention = Attention(ledger, self.handler, options, self.watchdog, ports.clock)
        self.looked: ObservedState | None = None
        self.compared: tuple[float, object] | None = None
        self.let_run: str | None = None
        self.planned: Plan | None = None
        self.judged: tuple[str, frozenset[Grant | BindGrant] | None] | None = None
        self.use_noted: tuple[str, str] | None = None

    # -- states ------------------------------------------------------------------------------------------------

    def good(self) -> DesiredState | None:
        """The last good state, as it was applied; rendered again where the stored one is lost."""
        good = self.ledger.history.last_good
        if good is None:
            return None
        stored = self.ports.store.load(good.content) if good.content else None
        if stored is not None:
            return replace(stored, revision=good.revision)
        prepared = self.prepare(good.revision, vouched=True)  # else it had not been good
        if prepared.denied:
            raise Transient(
                Reason.FILE_MISSING,
                f"the stored model of {good.revision[:12]} is lost, and the commit is not admitted any more",
                "push a commit that is valid",
            )
        images = self.ports.images.local(prepared.wants)
        lost = next((want for want in prepared.wants if want.key not in images), None)
        if lost is not None:
            raise Transient(
                Reason.FILE_MISSING,
                f"the stored model of {good.revision[:12]} is lost, and so is its image {lost.ref}",
                f"bring the image back (`docker pull {lost.ref}`) or push a commit that is valid",
            )
        desired = self.lower(prepared, images, good.revision)
        self.save(desired, prepared)
        return desired

    def prepare(self, revision: str, vouched: bool) -> Prepared:
        """A commit without this host's document wants nothing, where somebody has vouched for it."""
        files = self.files(revision)
        prepared = self.ports.preparer.prepare(files)
        missing = prepared.denied and all(item.rule == HOST_MISSING for item in prepared.violations)
        prepared = self.ports.preparer.without_stacks(files) if missing and vouched else prepared
        self.judged = revision, prepared.used
        return prepared

    def begins(self, step: str, waits_for: str) -> None:
        """What the turn does from now on, and whose answer it needs."""
        self.watchdog.begins(step, waits_for)

    def files(self, revision: str) -> Files:
        """A commit's files. Transient where the mirror does not have the commit."""
        self.begins(f"read commit {revision[:12]}", "git and Compose")
        try:
            return self.ports.source.files(revision)
        except KeyError:
            raise Transient(
                Reason.FILE_MISSING,
                f"the mirror does not have {revision[:12]} any more",
                "push the commit again, or a new one",
            ) from None

    def nothing(self) -> DesiredState:
        """The state in which nothing of ours runs."""
        return DesiredState(self.options.host, "", "", Memory(), ())

    def lower(self, prepared: Prepared, images: Mapping[str, Image], revision: str) -> DesiredState:
        return self.ports.preparer.lower(prepared, images, revision)

    def save(self, desired: DesiredState, prepared: Prepared) -> None:
        self.ports.store.save(desired, {source.document.name: source.model for source in prepared.sources})

    def write_trees(self, desired: DesiredState, files: Files | None = None) -> frozenset[str]:
        """Mounts that are missing are written before anything else: the engine would make empty folders there. Returns
        the digests of those."""
        for folder, to in sorted(self.ledger.history.links.items()):  # outer ones first
            self.ports.applier.link(folder, to)
        if not desired.revision:
            return frozenset()
        return self.ports.applier.trees(desired, files or LazyFiles(self.files, desired.revision))

    def pin(self, name: str, revision: str) -> None:
        """Keep a commit in the mirror. It is a second memory only: what it cannot keep stops nothing."""
        with suppress(KeyError, Transient):
            self.ports.source.pin(f"{self.options.host}/{name}", revision)

    # -- looking and planning ----------------------------------------------------------------------------------

    def stacks(self, *states: DesiredState | None) -> list[str]:
        """Every stack that is or was ours."""
        names = {stack.name for state in states if state for stack in state.stacks}
        return sorted(names | self.ledger.history.stacks)

    def look(self, *states: DesiredState | None) -> ObservedState:
        """One cheap list of what is ours, and of what somebody else has made for our services."""
        observed = self.ports.observer.look(self.stacks(*states))
        known = overlay(observed, self.ledger.history.adopted, self.options.host)
        ours = {key for state in states if state for key in state.services()}
        kept = (c for c in known.containers if c.host is not None or (c.number and (c.stack, c.service) in ours))
        return replace(known, containers=tuple(kept))

    def inspect(
        self,
        target: DesiredState,
        other: DesiredState | None = None,
        *,
        images: Iterable[Image] = (),
        new: bool = False,
    ) -> ObservedState:
        """Everything there is; what plain Compose has started for services of `target` becomes ours.

        `images`: those of the target, where they have just been built. `new`: the target is a commit that was never
        good, so that consent is asked for; `other` is last good then. Transient where a stack has another host's
        containers, or where something has appeared that nobody has consented to.
        """
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
        """As `inspect`, and what there would be to go back to, but nothing becomes ours yet. `base`: last good."""
        raw, found, verdict = self._recognise(target, base, ())
        back = baseline(target, found, base, verdict) if verdict.records else base
        return Foreseen(found, back, verdict, self._unconsented(target, base, raw))

    def _unconsented(self, target: DesiredState, base: DesiredState | None, raw: ObservedState) -> tuple[Taking, ...]:
        history = self.ledger.history
        found = consent.takings(target, raw, base, history.adopted, self.stacks(target, base))
        return consent.left(found, self.options.adopt, history.consented)

    def _recognise(
        self, target: DesiredState, other: DesiredState | None, images: Iterable[Image]
    ) -> tuple[ObservedState, ObservedState, Verdict]:
        """What the engine tells, the same as what it stands for, and what the journal has to learn."""
        self.begins("look at the machine", "the engine")
        observed = self.ports.observer.inspect(self.stacks(target, other))
        adopted, host = self.ledger.history.adopted, self.options.host
        files = LazyFiles(self.files, target.revision)
        built = {image.id: image for image in images}
        own, verdict = adopt.recognise(
            target, observed, adopted, files, built, self.ports.host_files, self.ports.preparer.data
        )
        found = self._with_cut_off(adopt.with_verdict(own, adopted, verdict, host))
        self._refuse_unmanaged(found)
        return observed, found, verdict

    def _with_cut_off(self, observed: ObservedState) -> ObservedState:
        """One that was started since it was stopped has an end of its own again."""
        stopped = self.ledger.history.stopped
        marked = (
            replace(item, cut_off=not item.running and stopped.get(item.id) == item.started_at)
            for item in observed.containers
        )
        return replace(observed, containers=tuple(marked))

    def _adopt(self, target: DesiredState, found: ObservedState, verdict: Verdict) -> None:
        """Durable before anything that follows from it, and with it what there is to go back to."""
        good = self.good()
        state = baseline(target, found, good, verdict)
        new = state.services().keys() != (good.services().keys() if good else set())
        if new:
            self.ports.store.save(state, {})
        stacks = [stack.name for stack in target.stacks]
        content = state.content if new else None
        self.ledger.append("adopted", stacks=stacks, content=content, **adopt.record(verdict))

    def _refuse_unmanaged(self, observed: ObservedState) -> None:
        unmanaged = [item for item in observed.containers if item.host != self.options.host and not item.oneoff]
        if unmanaged:
            names = " ".join(item.name for item in unmanaged[:3])
            host = unmanaged[0].host or "another"
            raise Transient(
                Reason.DEPENDENCY_NOT_READY,
                f"stack {unmanaged[0].stack} has containers that are not ours, but of the host {host}: {names}",
                f"give the stack another name; if no agent is {host} any more: docker rm -f {names} (volumes stay)",
            )

    def plan(
        self,
        desired: DesiredState,
        observed: ObservedState,
        intent: Intent,
        base: DesiredState | None,
        images: Sequence[Step] = (),
        corrections: Corrections = NOTHING,
    ) -> Plan:
        self.planned = planner.plan(
            desired,
            observed,
            intent=intent,
            base=base,
            ran_once=self.ledger.history.ran_once,
            images=images,
            stacks=self.stacks(desired, base),
            corrections=corrections,
            longest_stop=self.options.longest_stop,
        )
        return self.planned

    # -- rolling out -------------------------------------------------------------------------------------------

    def rollout(
        self, attempt: Attempt, desired: DesiredState, base: DesiredState | None, observed: ObservedState, plan: Plan
    ) -> Rollout:
        hooks = Hooks(
            step=lambda step, steps: self.step(replace(attempt, intent=plan.intent), step, steps),
            pulse=self.attention.pulse,
            watching=lambda rollout: self.attention.watching(Newer(self, plan.intent, rollout)),
            completed=self._completed,
            refused=lambda container: self.ledger.append("unstartable", container=container),
            stops=lambda item: self.ledger.append("stopped", container=item.id, started=item.started_at),
        )
        ports = self.ports
        world = World(ports.observer, ports.applier, ports.clock, self.options.longest_stop)
        return Rollout(world, desired, base, observed, plan, hooks)

    def step(self, attempt: Attempt, step: Step, steps: int) -> None:
        """A step begins. Interrupted where the process was asked to end."""
        self.attention.attend()
        where = "/".join(filter(None, (step.stack, step.service or step.container)))
        self.begins(
            f"step {step.n} of {steps}: {step.action} {where}".rstrip(), _ANSWERS.get(step.action, "the engine")
        )
        self.options.progress(step, steps, attempt)

    def fault(self, attempt: Attempt, error: ReconcilerError, failure: Failure | None = None) -> Turn:
        """The environment ended it: nothing is quarantined, and it is tried again after a while."""
        ending = Ending(Outcome.FAILED, error.reason, error.message, failure=failure, hint=error.hint)
        return self.ledger.end(ending, attempt.revision, attempt.intent, attempt.id)

    def interrupted(self, attempt: Attempt, error: Interrupted) -> None:
        ending = Ending(Outcome.INTERRUPTED, Reason.INTERRUPTED, error.message)
        self.ledger.end(ending, attempt.revision, attempt.intent, attempt.id)

    def is_forward(self, head: Commit) -> bool:
        """See `loop.forward`."""
        return not self.options.require_fast_forward or is_forward(head.sha, self.ledger.history, self.ports.source)

    def _note_completed(self, observed: ObservedState, states: Sequence[DesiredState | None]) -> None:
        """One-shots that have ended since a process that had started them was killed."""
        once = {
            (*key, service.spec): service
            for state in states
            for key, service in (state.services() if state else {}).items()
            if service.completes
        }
        for item in observed.containers:
            service = once.get((item.stack, item.service, item.spec or ""))
            if service is not None and completed(item):
                self._completed(service)

    def _completed(self, service: Service) -> None:
        if service.spec not in self.ledger.history.ran_once:
            self.ledger.append("ranonce", stack=service.stack, service=service.name, spec=service.spec)


_ANSWERS = {Action.PULL: "the registry", Action.BUILD: "the builder"}
