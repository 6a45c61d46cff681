"""`status`, `history`: the present state, and past events. They change nothing."""

from __future__ import annotations

from dataclasses import replace

from reconciler.decide.history.folding import Following
from reconciler.decide.status import status as standing
from reconciler.errors import Transient
from reconciler.loop.ports import Clock, Journal, Observer, Source, Store
from reconciler.model.desired import DesiredState
from reconciler.model.history import History
from reconciler.model.observed import Container, ObservedState
from reconciler.model.outcome import Reason
from reconciler.model.status import Agent, Holding, Rollout, SourceFacts, StatusFacts
from reconciler.record.summary_status import status as status_document
from reconciler.verbs import Answer


class StatusQueries:
    """Only reads: it holds no lock, and has no adapter that could change the machine."""

    def __init__(
        self, host: str, source: Source, store: Store, observer: Observer, journal: Journal, clock: Clock
    ) -> None:
        self._host, self._source, self._store = host, source, store
        self._observer, self._journal, self._clock = observer, journal, clock
        self._following = Following()

    def status(self, facts: StatusFacts, engine: bool) -> Answer:
        """`facts`: everything that is known without the engine."""
        facts = self._complete(facts, engine)
        answer = standing.judge(facts)
        return standing.exit_code(facts, answer), status_document(facts, answer)

    def quick(self, facts: StatusFacts, looked: ObservedState | None) -> Answer:
        """The status from one cheap list, or from the given `looked`."""
        try:
            observed = looked or self._own(self._observer.look(_stacks(facts.history, facts.desired, None)), facts)
            facts = replace(facts, observed=observed)
        except Transient as error:
            facts = replace(facts, engine_error=error.message)
        answer = standing.judge(facts)
        return standing.exit_code(facts, answer), status_document(facts, answer)

    def facts(self, agent: Agent, source: SourceFacts, holding: Holding | None, rollout: Rollout | None) -> StatusFacts:
        """Facts from the journal and the state folder. The arguments are those of the acting process."""
        history = self._read()
        if source.head is None:  # a new process that has not fetched yet
            source = replace(source, head=history.seen[-1] if history.seen else self._source.fetched())
        if holding is not None and holding.reason is Reason.SUSPENDED:
            holding = None  # the journal is newer: the commit may no longer be held
        if holding is not None:  # the hold may have begun before this process
            same = [item.since for item in history.holding(source.head) if item.message == holding.message]
            holding = replace(holding, since=same[0] if same else holding.since)
        return StatusFacts(
            self._host,
            agent,
            source,
            history,
            self._desired(history, rollout),
            holding=holding,
            rollout=rollout,
            suspension=history.suspended(self._clock.now()),
        )

    @property
    def past(self) -> History:
        """The history that was read last."""
        return self._following.history

    def _read(self) -> History:
        self._following.take(self._journal.records())
        return self._following.history

    def _desired(self, history: History, rollout: Rollout | None) -> DesiredState | None:
        last = history.last
        if rollout is not None and last is not None and last.open and last.content and not last.quarantined:
            stored = self._load(last.content)
            if stored is not None:
                return stored
        return self._load(history.last_good.content) if history.last_good else None

    def _load(self, content: str) -> DesiredState | None:
        try:
            return self._store.load(content)
        except Transient:
            return None

    def containers(self, facts: StatusFacts) -> tuple[Container, ...]:
        """The managed containers, by one cheap list. Away when the engine does not answer."""
        observed = self._own(self._observer.look(_stacks(facts.history, facts.desired, None)), facts)
        return tuple(item for item in observed.containers if item.host == self._host and not item.oneoff)

    def inspected(self, facts: StatusFacts) -> tuple[Container, ...]:
        """The inspected managed containers; none if the engine does not answer."""
        try:
            observed = self._own(self._observer.inspect(_stacks(facts.history, facts.desired, None)), facts)
        except Transient:
            return ()
        return tuple(item for item in observed.containers if item.host == self._host)

    def _complete(self, facts: StatusFacts, engine: bool) -> StatusFacts:
        if not engine:
            return facts
        try:
            observed = self._own(self._observer.inspect(_stacks(facts.history, facts.desired, None)), facts)
            usage = self._observer.usage([item.id for item in observed.containers if item.running])
        except Transient as error:
            return replace(facts, engine_error=error.message)
        return replace(facts, observed=observed, usage=usage)

    def _own(self, observed: ObservedState, facts: StatusFacts) -> ObservedState:
        from reconciler.decide.drift.overlay import overlay  # only needed with an engine

        return overlay(observed, facts.history.adopted, self._host)

    def history(self, revision: str | None, limit: int) -> Answer:
        """The newest attempts first; `revision` selects one commit, in any form that `retry` accepts."""
        from reconciler.decide.history.requests import full_sha
        from reconciler.record.summary import history as document

        history = self._read()
        asked = revision and (full_sha(revision, history) or self._source.find(revision) or revision)

        def about(named: str | None) -> bool:
            return asked is None or (named or "").startswith(asked)

        attempts = [item for item in reversed(history.attempts) if about(item.revision)]
        requests = [item for item in reversed(history.requests) if about(item.revision)]
        held = [item for item in reversed(history.held) if about(item.revision)]
        return 0, document(attempts[:limit], requests[:limit], held[:limit], limit)


def _stacks(history: History, *states: DesiredState | None) -> list[str]:
    return sorted(history.stacks | {stack.name for state in states if state for stack in state.stacks})
