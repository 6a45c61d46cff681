"""`plan`: what would happen. It changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from reconciler.decide.drift.adoption import baseline
from reconciler.decide.history.folding import Following
from reconciler.decide.hold import consent, images_of_others
from reconciler.decide.hold.consent import Taking
from reconciler.decide.hold.names import taken
from reconciler.decide.lower.pull_policy import is_fetched_anew, moved_tags, unobtainable
from reconciler.decide.plan import planner
from reconciler.decide.policy import Hold, next_move
from reconciler.errors import Usage
from reconciler.loop.adopt import recognise, refuse_to_hide, with_verdict
from reconciler.loop.advance import image_steps
from reconciler.loop.known_images import good_states, remembered
from reconciler.loop.mounted import in_the_way
from reconciler.loop.options import Options, Ports
from reconciler.loop.ports import Clock, HostFiles, Images, Journal, Observer, Source, Store, UseRecord
from reconciler.loop.prepare import Preparer
from reconciler.loop.rehearsal import NO_HANDS, NO_REQUESTS, NO_VOICE, rehearse
from reconciler.model.desired import DesiredState
from reconciler.model.files import Commit
from reconciler.model.history import History
from reconciler.model.observed import ObservedState
from reconciler.model.outcome import Intent, Level, Outcome, Reason, Violation
from reconciler.model.plan import Outlook, Plan
from reconciler.record import summary
from reconciler.verbs import Answer


class Queries:
    """Reads everything, holds no lock, and has nothing that could change the machine."""

    def __init__(
        self,
        options: Options,
        source: Source,
        preparer: Preparer,
        store: Store,
        images: Images,
        observer: Observer,
        journal: Journal,
        clock: Clock,
        host_files: HostFiles,
        uses: UseRecord,
    ) -> None:
        """`options`: how the agent that acts would behave."""
        self._options, self._host, self._uses = options, options.host, uses
        self._source, self._preparer, self._store = source, preparer, store
        self._images, self._observer, self._journal, self._clock = images, observer, journal, clock
        self._host_files = host_files
        self._told = Following()

    # -- plan --------------------------------------------------------------------------------------------------

    def plan(self, revision: str | None, fetch: bool) -> Answer:
        """What a turn would do about `revision` (a full sha; None: about the branch's head).

        `fetch` False: another process holds the mirror; its newest head will do.
        """
        history = self._read()
        newest = self._source.fetch() if fetch else None
        head = newest if newest is not None and revision is None else self._commit(revision, history)
        outlook, begun = self._rehearsed(head)
        target, intent = self._target(head, history, chosen=revision is not None)
        prepared = self._preparer.prepare(self._source.files(target))
        if prepared.denied:
            refused = Plan(intent, target, _base(history), violations=prepared.violations)
            return 1, summary.plan(refused, outlook)
        named = self._images.local(prepared.wants)
        now, new = self._clock.now(), intent is Intent.ADVANCE
        fresh = {
            want.key
            for want in prepared.wants
            if new and want.key in named and is_fetched_anew(want, named[want.key], now)
        }
        images = remembered(
            [want for want in prepared.wants if want.key not in fresh],
            named,
            good_states(history, self._store.load),
            self._images,
            lambda known: self._preparer.lower(prepared, known, target),
        )
        desired = self._preparer.lower(prepared, images, target)
        missing = [want for want in prepared.wants if want.key not in images]
        base = self._store.load(history.last_good.content) if history.last_good else None
        stacks = _stacks(history, desired, base)
        observed, base, takings, links = self._recognised(stacks, history, desired, base)
        made = planner.plan(
            desired,
            observed,
            intent=intent,
            base=base,
            ran_once=history.ran_once,
            images=image_steps(missing, self._options.build_memory),
            stacks=stacks,
            longest_stop=self._options.longest_stop,
        )
        if begun is not None and begun.intent is not Intent.ADVANCE:
            made = begun
        held = _held_for_consent(takings, target)
        names = tuple(
            Violation(Reason.DEPENDENCY_NOT_READY, "name-taken", item.message, item.hint, stack=item.stack)
            for item in taken(made, observed)
        )
        mounts = tuple(
            Violation(Reason.POLICY_VIOLATION, "nested-mount", item.message, item.hint)
            for item in in_the_way(desired, base, observed, links, self._host_files, self._preparer)
        )
        fetched = [want for want in prepared.wants if want in missing or want.key in fresh]
        others = images_of_others.in_the_way(fetched, self._images.stored(), stacks) if fetched else ()
        others += unobtainable(missing)
        others += moved_tags(prepared.wants, named, images)
        found = (*prepared.violations, *held, *names, *mounts, *others, *made.violations)
        made = replace(made, violations=found)
        denied = any(item.level is Level.DENY for item in made.violations)
        kept_from = outlook.outcome in (Outcome.HELD, Outcome.REJECTED)
        return (1 if made.changes or denied or kept_from else 0), summary.plan(made, outlook)

    def _read(self) -> History:
        self._told.take(self._journal.records())
        return self._told.history

    def _rehearsed(self, head: Commit) -> tuple[Outlook, Plan | None]:
        """What a turn would come to. A commit that was asked for by name is judged as if it were the head."""
        ports = Ports(
            source=self._source,
            preparer=self._preparer,
            store=self._store,
            images=self._images,
            observer=self._observer,
            applier=NO_HANDS,
            reporter=NO_VOICE,
            requests=NO_REQUESTS,
            clock=self._clock,
            host_files=self._host_files,
            uses=self._uses,
        )
        forward = self._options.require_fast_forward and head.sha == (self._source.fetched() or head.sha)
        return rehearse(ports, replace(self._options, require_fast_forward=forward), self._journal.records(), head)

    def _recognised(
        self, stacks: Sequence[str], history: History, desired: DesiredState, base: DesiredState | None
    ) -> tuple[ObservedState, DesiredState | None, tuple[Taking, ...], Mapping[str, str]]:
        """What is there, with what plain Compose has started as what a turn would take it for; what nobody has
        consented to be taken over; and the links that adoption makes."""
        raw, adopted = self._observer.inspect(stacks), history.adopted
        files = self._source.files(desired.revision)
        own, verdict = recognise(desired, raw, adopted, files, {}, self._host_files, self._preparer.data)
        takings = consent.takings(desired, raw, base, adopted, stacks)
        takings = consent.left(takings, self._options.adopt, history.consented)
        if not takings:
            refuse_to_hide(verdict)
        found = with_verdict(own, adopted, verdict, self._host)
        back = baseline(desired, found, base, verdict) if verdict.records else base
        return found, back, takings, {**history.links, **verdict.links}

    def _target(self, head: Commit, history: History, chosen: bool) -> tuple[str, Intent]:
        """The commit that a turn would approach, and why. One that was asked for by name is planned as it is."""
        good = history.last_good
        if chosen or good is None:
            return head.sha, Intent.REPAIR if good and good.revision == head.sha else Intent.ADVANCE
        move = next_move(
            head,
            history,
            inputs=self._preparer.inputs(),
            inputs_changed=False,
            now=self._clock.now(),
            patient=False,
        )
        if isinstance(move, Hold):
            return head.sha, Intent.ADVANCE
        return move.revision or head.sha, move.intent

    def _commit(self, revision: str | None, history: History) -> Commit:
        wanted = _in_full(revision or "", history)
        try:
            return self._source.commit(wanted)
        except KeyError:
            raise Usage(
                Reason.FILE_MISSING,
                f"the mirror has no commit {wanted or '(none was seen yet)'}",
                "name a commit by its full sha, or by the beginning of one that the agent has seen",
            ) from None


def _held_for_consent(takings: Sequence[Taking], revision: str) -> tuple[Violation, ...]:
    """What a turn would hold the commit for."""
    if not takings:
        return ()
    message = f"it would be held: it takes over what this agent did not make: {consent.told(takings)}"
    return (Violation(Reason.CONSENT_MISSING, "consent", message, consent.remedy(takings, revision)),)


def _in_full(revision: str, history: History) -> str:
    """The sha of the newest head that begins so; '' stands for the newest of all."""
    return next((sha for sha in reversed(history.seen) if sha.startswith(revision)), revision)


def _base(history: History) -> str | None:
    return (history.last_good.revision or None) if history.last_good else None


def _stacks(history: History, *states: DesiredState | None) -> list[str]:
    return sorted(history.stacks | {stack.name for state in states if state for stack in state.stacks})
