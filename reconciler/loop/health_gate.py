"""Judges every container of the commit, from its start to the end of the window."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from reconciler.decide import health
from reconciler.decide.health import State, Track, Verdict
from reconciler.errors import Away, RolloutFailed
from reconciler.loop.outages import Outages
from reconciler.loop.ports import Applier, Clock, Observer, Watch
from reconciler.model.desired import Condition, DesiredState, Service, ServiceKey
from reconciler.model.documents import Gate
from reconciler.model.observed import KILL, Container
from reconciler.model.outcome import Failure, Reason

LOOK_INTERVAL = 1.0
"""Seconds after which we look at every container, whether an event was about it or not."""

AWAY_LIMIT = 3
"""Calls in a row without an answer after which the engine counts as unavailable."""

LOG_LINES = 20
"""Lines of a failed container's log that a report carries (the contract's upper bound)."""


class HealthGate:
    """The tracks of one rollout. Raises RolloutFailed as soon as any of them has failed."""

    def __init__(
        self,
        desired: DesiredState,
        observer: Observer,
        applier: Applier,
        watch: Watch,
        clock: Clock,
        pulse: Callable[[], None],
        completed: Callable[[Service], None],
        outages: Outages,
    ) -> None:
        self._desired, self._observer, self._applier = desired, observer, applier
        self._watch, self._clock, self._pulse, self._completed = watch, clock, pulse, completed
        self._tracks: dict[str, Track] = {}
        self._stopped: set[str] = set()
        self._once: set[str] = set()
        self._accepted: set[str] = set()
        self._outages = outages
        self._apart: set[str] = set()
        self._olds: dict[str, ServiceKey] = {}
        self._window_from = clock.monotonic()
        self._progress_at = clock.monotonic()
        self._away, self._whole = 0, True
        self._current = False  # whether nothing was changed or waited for since the last look
        self._looked_at = clock.monotonic()
        self._unseen: set[str] = set()
        self._saw_all_at = float("-inf")

    # -- what is followed --------------------------------------------------------------------------------------

    def follow(self, service: Service, container: str, *, changed: bool, apart: bool = False) -> None:
        """Judge this container from now on. `apart`: it lacks the service's aliases, so that nobody finds it yet."""
        if apart:
            self._apart.add(container)
        now = self._clock.monotonic()
        self._tracks[container] = Track(service, container, now, changed)
        self._window_from = self._progress_at = now
        self._unseen.add(container)
        self._current = False

    def watch_old(self, container: str, key: ServiceKey) -> None:
        """Watch a container that the rollout will stop, without judging it. If it ends before that, its service is down
        from then on."""
        self._olds[container] = key

    def forget(self, container: str, key: ServiceKey) -> None:
        """The rollout is about to stop the container: judge it no longer."""
        self._tracks.pop(container, None)
        self._olds.pop(container, None)
        self._stopped.add(container)
        self._current = False
        self._outages.stops(key, container, self._clock.monotonic())

    def begin_window(self) -> None:
        """Start the window: containers that are good already must stay good from now on."""
        self._window_from = self._clock.monotonic()

    def joined(self, container: str) -> None:
        """The container has the service's aliases from now on."""
        self._apart.discard(container)
        track = self._tracks.get(container)
        if track is not None and track.good_since is not None:
            self._outages.serves(track.service.key, container, self._clock.monotonic())

    def followed(self) -> set[ServiceKey]:
        """Services of which a container is judged."""
        return {track.service.key for track in self._tracks.values()}

    def unproven(self) -> set[ServiceKey]:
        """Services that the commit changes and that are not good at this moment."""
        return {t.service.key for t in self._tracks.values() if t.changed and t.good_since is None}

    def running(self, service: ServiceKey) -> bool:
        """Whether a container of the service ran at the last look."""
        return any(track.service.key == service and track.state != "exited" for track in self._tracks.values())

    # -- waiting -----------------------------------------------------------------------------------------------

    def until(self, service: Service, condition: Condition) -> None:
        """Wait until every followed container of the service meets what its dependents wait for."""

        def unmet() -> list[Track]:
            own = (track for track in self._tracks.values() if track.service.key == service.key)
            return [track for track in own if not health.met(track, condition)]

        self._wait(lambda now: None if unmet() else 0.0, unmet)

    def up(self, services: Collection[ServiceKey]) -> None:
        """Wait until the containers of these services run: namespace users cannot start before.

        A finished one-shot needs no wait: its volumes exist.
        """

        def down() -> list[Track]:
            own = (track for track in self._tracks.values() if track.service.key in services)
            return [track for track in own if not _is_up(track)]

        if services:
            self._wait(lambda now: None if down() else 0.0, down)

    def pause(self, seconds: float, service: ServiceKey) -> None:
        """Watch all containers for `seconds`, and until all judged containers of the service have been good for so long
        without a break: one that ends again and again is good for a moment after each start."""
        until = self._clock.monotonic() + seconds

        def own() -> list[Track]:
            return [track for track in self._tracks.values() if track.service.key == service]

        def left(now: float) -> float | None:
            if any(track.good_since is None for track in own()):
                return None
            since = max((track.good_since or 0.0 for track in own()), default=0.0)
            return max(0.0, until - now, since + seconds - now)

        self._wait(left, lambda: [track for track in own() if track.good_since is None])

    def prove(self, service: ServiceKey, seconds: float) -> None:
        """Wait until all judged containers of the service have been good for `seconds` without a break."""

        def own() -> list[Track]:
            return [track for track in self._tracks.values() if track.service.key == service]

        def left(now: float) -> float | None:
            if any(track.good_since is None for track in own()):
                return None
            return max(0.0, max((track.good_since or now for track in own()), default=now) + seconds - now)

        self._wait(left, own)

    def drop(self, container: str) -> None:
        """Judge the container no longer: its trial is over."""
        self._tracks.pop(container, None)
        self._stopped.add(container)

    def window(self) -> None:
        """Wait until all have been good at once, without a break, for the longest min_healthy_time among them."""

        def held(now: float) -> float | None:
            if any(track.good_since is None for track in self._tracks.values()):
                return None
            since = max([self._window_from, *(t.good_since or 0.0 for t in self._tracks.values())])
            return max(0.0, since + self._min_healthy_time() - now)

        self._wait(held, list)
        self.check()
        self._wait(held, list)

    def check(self) -> None:
        """Look at all, now."""
        self._saw_all_at = float("-inf")
        self._look()

    def _min_healthy_time(self) -> float:
        stacks = {track.service.stack for track in self._tracks.values()}
        return max((self._desired.gate(stack).min_healthy_time for stack in stacks), default=0.0)

    def _wait(self, left: Callable[[float], float | None], unmet: Callable[[], list[Track]]) -> None:
        """Until `left` says that no second is left. `unmet`: services that are not done although their own containers
        may be healthy."""
        while True:
            if not self._current:
                self._look()
            now = self._clock.monotonic()
            self._check_progress(now, unmet())
            remaining = left(now)
            if remaining == 0.0:
                return
            self._pulse()
            timeout = min([LOOK_INTERVAL, *([remaining] if remaining else []), *self._due(now)])
            self._current = False
            if not self._watch.wait(timeout):
                self._whole = False

    def _due(self, now: float) -> Iterable[float]:
        for track in self._tracks.values():
            at = self._start_again_at(track)
            if at is not None:
                yield max(0.0, at - now)

    # -- looking and judging -----------------------------------------------------------------------------------

    def _look(self) -> None:
        wanted = self._worth_a_look()
        try:
            found = self._observer.details(wanted)
        except Away:
            self._away += 1
            if self._away >= AWAY_LIMIT:
                raise
            self._window_from = self._clock.monotonic()
            self._whole = False
            return
        now = self._clock.monotonic()
        resumed = not self._whole and self._resume(found, now)
        self._away, self._whole = 0, True
        late, self._looked_at = now - self._looked_at, now
        if resumed:
            return
        events = self._watch.events()
        for id in wanted:
            if id in self._olds:
                self._look_at_old(id, found.get(id), now)
                continue
            self._tracks[id] = health.observe(self._tracks[id], found.get(id), self._befallen(id, events), now, late)
        for track in list(self._tracks.values()):
            self._judge(track, now)
        self._current = True

    def _worth_a_look(self) -> list[str]:
        """Containers with events, and periodically all: in a large commit each event is about one container."""
        touched = self._watch.touched() | self._unseen
        now = self._clock.monotonic()
        if self._away or not self._whole or now - self._saw_all_at >= LOOK_INTERVAL:
            self._saw_all_at, touched = now, frozenset((*self._tracks, *self._olds))
        self._unseen.clear()
        return [id for id in (*self._tracks, *self._olds) if id in touched]

    def _look_at_old(self, id: str, found: Container | None, now: float) -> None:
        if found is None or found.state != "running":
            self._outages.stops(self._olds[id], id, now)
        elif found.health in ("none", "healthy"):
            self._outages.serves(self._olds[id], id, now)

    def _befallen(self, id: str, events: Mapping[str, Collection[str]]) -> Collection[str]:
        """Ignore signals to a container that the rollout stopped itself."""
        return frozenset(events.get(id, ())) - ({KILL} if id in self._stopped else set())

    def _resume(self, found: Mapping[str, Container], now: float) -> bool:
        """The engine or its event stream was away: deadlines move by that time, and the window starts again.

        Containers that stopped with the engine are started again, as the commit is not the cause. True if one was
        started, so that `found` is out of date.
        """
        stopped = False
        gap = now - self._looked_at if self._away else 0.0
        self._window_from = now
        self._progress_at += gap
        for id, track in list(self._tracks.items()):
            self._tracks[id] = health.postponed(track, gap)
            if health.was_stopped(track, found.get(id)) and not self._ended_well(track, found[id]):
                self._applier.start(id)
                self._tracks[id] = Track(track.service, id, now, track.changed)
                self._unseen.add(id)
                stopped = True
        return stopped

    @staticmethod
    def _ended_well(track: Track, container: Container) -> bool:
        return track.service.completes and container.exit_code == 0

    def _judge(self, track: Track, now: float) -> None:
        verdict = health.judge(track, self._desired.gate(track.service.stack), now)
        if track.good_since is None:
            self._outages.fails(track.service.key, track.id, now)
        if verdict.state is State.FAILED:
            raise RolloutFailed(self._failure(track, verdict), "see the log lines; fix the commit and push again")
        if verdict.state is State.GOOD:
            self._accept(track, now)
        again = self._start_again_at(track)
        if again is not None and again <= now:
            self._start_again(track)

    def _start_again_at(self, track: Track) -> float | None:
        """When to start the container again. Not while its namespace owner is down: the engine would refuse the start,
        and the owner has a verdict of its own."""
        if not all(_is_up(namespace_owner) for namespace_owner in self._namespace_owners(track)):
            return None
        return health.start_again_at(track)

    def _start_again(self, track: Track) -> None:
        try:
            self._applier.start(track.id)
        except RolloutFailed as refused:
            if refused.reason is not Reason.DEPENDENCY_NOT_READY or not self._namespace_owners(track):
                raise
            # its namespace owner has ended since the last look: the next look decides

    def _namespace_owners(self, track: Track) -> list[Track]:
        return [other for other in self._tracks.values() if other.service.key in track.service.namespace_owners]

    def _accept(self, track: Track, now: float) -> None:
        if track.id not in self._accepted:
            self._accepted.add(track.id)
            self._progress_at = now
        if track.id not in self._apart:
            self._outages.serves(track.service.key, track.id, now)
        if track.service.completes and track.state == "exited" and track.id not in self._once:
            self._once.add(track.id)
            self._completed(track.service)

    def _check_progress(self, now: float, unmet: list[Track]) -> None:
        for track in (*unmet, *(track for track in self._tracks.values() if track.good_since is None)):
            gate = self._desired.gate(track.service.stack)
            if now - self._progress_at >= gate.progress_deadline:
                verdict = Verdict(State.FAILED, Reason.HEALTH_CHECK_FAILED, _no_progress(track, gate))
                raise RolloutFailed(self._failure(track, verdict))

    def _failure(self, track: Track, verdict: Verdict) -> Failure:
        log: tuple[str, ...] = ()
        output: str | None = None
        try:
            log = self._observer.logs(track.id, LOG_LINES)
            output = self._observer.health_output(track.id)
        except Away:
            pass  # missing logs must not delay the verdict
        exited = track.state in ("exited", "dead")
        return Failure(
            verdict.reason or Reason.CRASHED,
            verdict.message,
            track.service.stack,
            track.service.name,
            track.exit_code if exited else None,
            output,
            log,
        )


def _is_up(track: Track) -> bool:
    return track.running or health.met(track, Condition.COMPLETED)


def _no_progress(track: Track, gate: Gate) -> str:
    name = f"{track.service.stack}/{track.service.name}"
    return f"nothing became healthy for {gate.progress_deadline:g} s; {name} is still not good"
