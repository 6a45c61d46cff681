"""Carries out a plan, step by step; each step is an effect or a wait. Decides nothing; stops at the first failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import field, replace
from itertools import takewhile

from reconciler.decide.defaults import with_defaults
from reconciler.decide.drift.facts import aliases_missing
from reconciler.decide.drift.grace import grace_of
from reconciler.decide.drift.wanted_facts import limits
from reconciler.decide.footprint import as_made
from reconciler.decide.plan.diff import needs
from reconciler.decide.plan.trials import SUFFIX, trials_of
from reconciler.decide.slots import STANDBY, by_service
from reconciler.errors import Away, Interrupted, ReconcilerError, RolloutFailed
from reconciler.loop.creating import Creating
from reconciler.loop.creating import World as World
from reconciler.loop.health_gate import HealthGate
from reconciler.loop.outages import Outages
from reconciler.loop.turn import Anew
from reconciler.model.desired import Condition, DesiredState, Endpoint, Network, Service, ServiceKey, Volume
from reconciler.model.history import ServiceRecord
from reconciler.model.observed import Container, ObservedState
from reconciler.model.outcome import Intent, Reason
from reconciler.model.plan import Action, Change, Plan, Step
from reconciler.values import dataclass

NOBODY: Mapping[ServiceKey, float] = {}

STARTS = (Action.START_CONTAINER, Action.RUN_ONCE)

TRIES = 5
"""Maximum of start attempts while the namespace owner keeps exiting: by then the owner has failed itself."""

LEFT_BY_A_KILLED_ENGINE = "already exists"
"""`task … already exists`: such a container never starts again, though it is the engine's own fault."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """Calls from the rollout to the cycle. `pulse` is called while waiting, and may raise to end the rollout. Long
    calls run within `watching`, which lets the same end them.

    `refused`: a container (id) that has run before does not start again. `stops`: a running container of a service that
    might have ended by itself will be stopped. `lost`: a volume that somebody removed will be made anew.
    """

    step: Callable[[Step, int], None]
    pulse: Callable[[], None]
    watching: Callable[[Rollout], AbstractContextManager[None]]
    completed: Callable[[Service], None]
    refused: Callable[[str], None]
    stops: Callable[[Container], None]
    lost: Callable[[Step], None]


@dataclass(slots=True)
class _Known:
    """The record of each service. `once`: one-shots, which may end."""

    actions: dict[ServiceKey, str] = field(default_factory=dict)
    once: set[ServiceKey] = field(default_factory=set)
    started: set[ServiceKey] = field(default_factory=set)


class Rollout:
    """One walk along one plan. `touched`: whether anything was stopped yet."""

    def __init__(
        self,
        world: World,
        desired: DesiredState,
        base: DesiredState | None,
        observed: ObservedState,
        plan: Plan,
        hooks: Hooks,
        down: Mapping[ServiceKey, float] = NOBODY,
    ) -> None:
        """`down`: services that an earlier rollout has left down → since when (monotonic seconds)."""
        self._world, self._desired, self._observed = world, desired, observed
        self._services, self._trials = desired.services(), trials_of(desired)
        self._base = base.services() if base else {}
        self._plan, self._hooks = plan, hooks
        self._known = _Known()
        self._creating = Creating(world, desired, observed, plan)
        self._there = by_service(observed)
        self._health_gate: HealthGate | None = None
        self._serving = self._find_serving()
        now = world.clock.monotonic()
        self._outages = Outages(self._serving, {**dict.fromkeys(self._left_down(), now), **down}, now)
        self.touched = False

    def walk(self) -> None:
        """All steps up to the verdict. Returns after the window; raises RolloutFailed otherwise."""
        steps = self._plan.steps[: len(self._plan.steps) - self._plan.closing]
        with self._world.observer.watch() as watch, self._hooks.watching(self):
            self._health_gate = HealthGate(
                self._desired,
                self._world.observer,
                self._world.applier,
                watch,
                self._world.clock,
                self._hooks.pulse,
                self._hooks.completed,
                self._outages,
            )
            self._follow_running(steps)
            position = 0
            while position < len(steps):
                step = steps[position]
                self._hooks.step(step, len(self._plan.steps))
                try:
                    position += self._do(step, steps[position:])
                except RolloutFailed as error:
                    raise self._told(error) from error

    def close(self) -> None:
        """After a durable good verdict: set restart policies, and remove containers and networks that are no longer
        needed."""
        steps = self._plan.steps[len(self._plan.steps) - self._plan.closing :]
        updates = [step for step in steps if step.action is Action.UPDATE_CONTAINER]
        self._set_policies(updates)
        for step in steps[len(updates) :]:
            self._hooks.step(step, len(self._plan.steps))
            self._close_step(step)

    def records(self) -> tuple[ServiceRecord, ...]:
        """The records of the plan's services so far."""
        gate = self._health_gate
        downtime = self._outages.seconds(self._world.clock.monotonic())
        done = self._known.actions
        ended = {key: "RanOnce" for key in self._known.once if gate is None or not gate.running(key)}
        return tuple(
            ServiceRecord(*key, ended.get(key) or done.get(key, "Unchanged"), round(downtime.get(key, 0.0), 3))
            for key in dict.fromkeys([*self._services, *done])
            if key in self._services or key in self._base or not key[1].endswith(SUFFIX)
        )

    def hand_over(self) -> dict[ServiceKey, float]:
        """Services that this rollout leaves down → since when; from now on another rollout counts them."""
        return self._outages.hand_over()

    def unproven(self) -> set[ServiceKey]:
        """Services without a good verdict in this rollout: not started yet, or not healthy yet."""
        planned = {(s.stack or "", s.service or "") for s in self._plan.steps if s.action is Action.START_CONTAINER}
        waiting = self._health_gate.unproven() if self._health_gate else set()
        return (planned - self._known.started) | waiting

    @property
    def started(self) -> frozenset[ServiceKey]:
        """Services of which this rollout has started a container."""
        return frozenset(self._known.started)

    def specs(self) -> dict[ServiceKey, str]:
        """The desired services of this rollout."""
        return {key: service.spec for key, service in self._services.items()}

    # -- one step ----------------------------------------------------------------------------------------------

    def _do(self, step: Step, rest: Sequence[Step]) -> int:
        """Carry out a step; returns how many of the following steps it carried out, too."""
        applier = self._world.applier
        match step.action:
            case Action.CREATE_CONTAINER:
                return self._creating.create(rest)
            case Action.CREATE_NETWORK:
                applier.create_network(self._network(step))
            case Action.REPLACE_NETWORK:
                self.touched = True
                applier.remove_network(self._network(step).name)
                applier.create_network(self._network(step))
            case Action.REMOVE_NETWORK:
                self.touched = True
                applier.remove_network(step.container or "")
            case Action.CREATE_VOLUME:
                if step.change is Change.LOST:
                    self._hooks.lost(step)
                applier.create_volume(as_made(self._volume(step)))
            case Action.STOP_CONTAINER:
                return self._stop(rest)
            case Action.START_CONTAINER | Action.RUN_ONCE:
                return self._start(rest)
            case Action.WAIT_HEALTHY:
                self._wait(step)
            case Action.JOIN_ALIAS:
                self._join(step)
            case Action.UPDATE_CONTAINER:
                self._update(step)
            case Action.REMOVE_CONTAINER:
                self._end_trial(step)
            case _:
                pass  # images were pulled and built before the walk
        return 1

    def _prove(self, gate: HealthGate, step: Step) -> None:
        """Where a suspension, a newer commit or a signal ends the trial, its container goes at once: nothing else would
        stop it."""
        try:
            gate.prove(self._service(step).key, step.pause)
        except (Anew, Interrupted):
            container = self._creating.ids[self._service(step).container(1)]
            self._world.applier.stop_all({container: 0.0})
            self._world.applier.remove(container)
            raise

    def _end_trial(self, step: Step) -> None:
        container = self._container(step)
        if self._health_gate is not None:
            self._health_gate.drop(container)
        left = next((item for item in self._observed.containers if item.id == container), None)
        grace = self._grace(left) if left else min(self._service(step).grace, self._world.longest_stop)
        self._world.applier.stop_all({container: grace})
        self._world.applier.remove(container)

    def _told(self, error: RolloutFailed) -> RolloutFailed:
        """The error as one of the service, where a container of its trial has failed."""
        failure = error.failure
        trial = self._trials.get((failure.stack or "", failure.service or ""))
        if trial is None:
            return error
        message = f"its trial failed, and nothing was stopped: {failure.message}"
        return RolloutFailed(replace(failure, service=trial.name.removesuffix(SUFFIX), message=message), error.hint)

    def _join(self, step: Step) -> None:
        container, applier = self._container(step), self._world.applier
        self._known.actions.setdefault(self._service(step).key, "Updated")
        if step.change is Change.APART:
            applier.connect_apart(container, self._endpoint(step))
            return
        applier.connect(container, self._endpoint(step))
        if self._health_gate is not None:
            self._health_gate.joined(container)

    def _update(self, step: Step) -> None:
        """Restores settings of a kept container in place, without a restart, or gives a container another name."""
        self._pause(step)
        container, applier = self._container(step), self._world.applier
        service = self._service(step)
        if step.change is not None:
            self._known.actions.setdefault(service.key, "Updated")
        match step.change:
            case None:
                self._rename(container, step.name)
            case Change.LIMITS:
                applier.limit(container, limits(with_defaults(service, "")))
            case Change.RESUME:
                applier.resume(container)
                self._follow(service, next(i for i in self._observed.containers if i.id == container), changed=False)
            case Change.LEAVE:
                applier.disconnect(container, step.name or "")

    def _close_step(self, step: Step) -> None:
        if step.action is Action.REMOVE_CONTAINER:
            self._world.applier.remove(step.id or "")
        elif step.action is Action.REMOVE_NETWORK:
            self._world.applier.remove_network(step.container or "")

    def _set_policies(self, steps: Sequence[Step]) -> None:
        for step in steps:
            self._hooks.step(step, len(self._plan.steps))
            self._known.actions.setdefault(self._service(step).key, "Updated")
        self._world.applier.update_all({self._container(step): self._service(step).restart for step in steps})

    def _stop(self, rest: Sequence[Step]) -> int:
        """Consecutive stops of the plan run together, but a service never stops together with its dependents."""
        self.touched = True
        self._pause(rest[0])
        there = {item.id: item for item in self._observed.containers}
        batch: dict[str, Step] = {}
        needed: set[ServiceKey] = set()
        for step in self._together(rest, (Action.STOP_CONTAINER,)):
            key = (step.stack or "", step.service or "")
            if key in needed or step.id in batch:  # it was stopped as surplus, and now it loses its name
                break
            needed |= {one for known in self._both(key) if known is not None for one in needs(known)}
            batch[step.id or ""] = step
        for container, step in batch.items():
            if step is not rest[0]:
                self._hooks.step(step, len(self._plan.steps))
            self._stops(there[container])
        stopping = [there[container] for container in batch]
        self._world.applier.update_all({item.id: "no" for item in stopping if item.restart != "no"})
        self._world.applier.stop_all({item.id: self._grace(item) for item in stopping if item.running})
        if self._health_gate is not None:
            self._health_gate.begin_window()
        for container, step in batch.items():
            self._rename(container, step.name)
        return len(batch)

    def _stops(self, container: Container) -> None:
        """The container will stop, so it is not judged any more."""
        key = (container.stack, container.service)
        if container.running and any(known is not None and known.completes for known in self._both(key)):
            self._hooks.stops(container)
        self._forget(container.id, key)
        if self._known.actions.get(key, "Created") == "Created":
            self._known.actions[key] = "Removed" if key not in self._services else "Switched"

    def _both(self, key: ServiceKey) -> tuple[Service | None, Service | None]:
        """The service as in last good, and as desired."""
        return self._base.get(key), self._services.get(key)

    def _grace(self, container: Container) -> float:
        was, wanted = self._both((container.stack, container.service))
        longest = self._world.longest_stop
        return grace_of(container, was=was, wanted=wanted, intent=self._plan.intent, longest=longest)

    def _start(self, rest: Sequence[Step]) -> int:
        """Consecutive starts of the plan run together. Started containers are judged; then the first one that did not
        start ends the rollout. Services that nobody waits for start while the others become healthy."""
        self.touched |= rest[0].change is not Change.TRIAL
        self._pause(rest[0])
        awaited = {(step.stack, step.service) for step in rest if step.action is Action.WAIT_HEALTHY}
        first = (rest[0].stack, rest[0].service) in awaited
        together = self._together(rest, STARTS)
        same = takewhile(lambda step: ((step.stack, step.service) in awaited) is first, together)
        batch = {self._container(step): step for step in same}
        for container, step in batch.items():
            if step is not rest[0]:
                self._hooks.step(step, len(self._plan.steps))
            self._rename(container, step.name)
            for endpoint in self._service(step).endpoints if step.change is Change.APART else ():
                self._world.applier.connect_apart(container, endpoint)
        failed = self._start_all(batch)
        errors = [self._refused(batch[container], error) for container, error in failed.items()]
        for error in errors:
            raise error
        return len(batch)

    def _start_all(self, batch: Mapping[str, Step]) -> Mapping[str, ReconcilerError]:
        """Container → why it did not start. A namespace user whose owner ended at that moment waits until the owner
        runs again, or has failed."""
        waiting = list(batch)
        failed: Mapping[str, ReconcilerError] = {}
        for _ in range(TRIES):
            if self._health_gate is not None:
                self._health_gate.up(
                    {
                        namespace_owner
                        for container in waiting
                        for namespace_owner in self._service(batch[container]).namespace_owners
                    }
                )
            failed = self._world.applier.start_all(waiting)
            for container in waiting:
                if container not in failed:
                    self._started(container, batch[container])
            if self._health_gate is None or not any(isinstance(error, RolloutFailed) for error in failed.values()):
                break
            self._health_gate.check()  # its namespace owner may be gone, and then that is the reason
            followed, waiting = self._health_gate.followed(), list(failed)
            if not all(self._may_start_later(batch[container], failed[container], followed) for container in waiting):
                break
        return failed

    def _may_start_later(self, step: Step, error: ReconcilerError, followed: set[ServiceKey]) -> bool:
        """Only for namespace users whose owners are judged: the owners run again, or end the rollout."""
        namespace_owners = self._service(step).namespace_owners
        return (
            bool(namespace_owners)
            and followed.issuperset(namespace_owners)
            and error.reason is Reason.DEPENDENCY_NOT_READY
        )

    def _started(self, container: str, step: Step) -> None:
        service = self._service(step)
        if step.action is Action.RUN_ONCE:
            self._known.once.add(service.key)
        if step.change is not Change.TRIAL:
            self._known.actions.setdefault(service.key, "Switched" if step.id else "Created")
            self._known.started.add(service.key)
        if self._health_gate is not None:
            self._health_gate.follow(service, container, changed=True, apart=step.change is Change.APART)

    @staticmethod
    def _together(rest: Sequence[Step], actions: Sequence[Action]) -> Iterator[Step]:
        """The first step, and the following ones that run at the same moment."""
        return takewhile(lambda step: step.action in actions and (step is rest[0] or not step.pause), rest)

    def _pause(self, step: Step) -> None:
        if step.pause and self._health_gate is not None:
            self._health_gate.pause(step.pause, (step.stack or "", step.service or ""))

    def _refused(self, step: Step, error: ReconcilerError) -> ReconcilerError:
        """The error for a container that did not start."""
        killed = isinstance(error, Away) and LEFT_BY_A_KILLED_ENGINE in error.message
        refused = isinstance(error, RolloutFailed) and error.reason is not Reason.DEPENDENCY_NOT_READY
        if step.id is not None and (killed or refused):
            self._hooks.refused(step.id)
        if not isinstance(error, RolloutFailed):
            return error
        told = f"{step.stack}/{step.service}: {error.failure.message}"
        return RolloutFailed(replace(error.failure, stack=step.stack, service=step.service, message=told), error.hint)

    def _rename(self, container: str, name: str | None) -> None:
        names = {**self._creating.names, **{item.id: item.name for item in self._observed.containers}}
        if name is not None and names.get(container) != name:
            self._world.applier.rename(container, name)

    def _wait(self, step: Step) -> None:
        if self._health_gate is None:
            raise AssertionError("a rollout waits only while it walks")
        if step.service is None:
            self._health_gate.window()
        elif step.change is Change.TRIAL:
            self._prove(self._health_gate, step)
        else:
            self._health_gate.until(self._service(step), step.condition or Condition.STARTED)

    # -- what is judged ----------------------------------------------------------------------------------------

    def _follow_running(self, steps: Sequence[Step]) -> None:
        """Kept containers are judged as well, unless they were unhealthy before and the commit does not change them."""
        stopping = {step.id or "" for step in steps if step.action is Action.STOP_CONTAINER}
        for service in self._services.values():
            for item in self._there.get(service.key, ()):
                if item.spec == service.spec and item.id not in stopping and item.running:
                    changed = self._unproven_yet(service, item)
                    if self._is_switched(service):  # an earlier process has started it
                        self._known.actions.setdefault(service.key, "Switched")
                    if changed or (item.state == "running" and item.health != "unhealthy"):
                        self._follow(service, item, changed)
        if self._health_gate is not None:
            for key, ids in self._serving.items():
                if any(service.completes for service in self._both(key) if service):
                    continue  # a one-shot may end
                for container in sorted(ids & stopping):
                    self._health_gate.watch_old(container, key)

    def _unproven_yet(self, service: Service, item: Container) -> bool:
        """Containers that the commit changes, or that an earlier process started: until the verdict, the engine must
        not restart them."""
        changed = self._plan.intent is Intent.ADVANCE and service.key not in self._base
        return changed or self._is_switched(service) or item.restart != service.restart

    def _is_switched(self, service: Service) -> bool:
        """Whether the commit replaces its containers."""
        old = self._base.get(service.key)
        return self._plan.intent is Intent.ADVANCE and old is not None and old.spec != service.spec

    def _follow(self, service: Service, item: Container, changed: bool) -> None:
        if self._health_gate is not None and not self._suspended(service.stack):
            self._health_gate.follow(service, item.id, changed=changed, apart=_is_apart(service, item))

    def _find_serving(self) -> dict[ServiceKey, set[str]]:
        """Containers that serve before the first step."""
        found: dict[ServiceKey, set[str]] = {}
        for item in self._observed.containers:
            key = (item.stack, item.service)
            service = next((known for known in self._both(key) if known and known.spec == item.spec), None)
            apart = service is not None and _is_apart(service, item)
            if item.state == "running" and item.health in ("none", "healthy") and not apart:
                found.setdefault(key, set()).add(item.id)
        return found

    def _left_down(self) -> Iterator[ServiceKey]:
        """Services of which nothing serves, because an earlier rollout (killed or superseded) has stopped it."""
        for key, service in self._services.items():
            stopped = any(_is_stopped(service, item) for item in self._there.get(key, ()))
            ends = any(known is not None and known.completes for known in self._both(key))
            if stopped and not ends and key not in self._serving and not self._suspended(service.stack):
                yield key

    def _suspended(self, stack: str) -> bool:
        return any(item.name == stack and item.suspended for item in self._desired.stacks)

    def _forget(self, container: str, key: ServiceKey) -> None:
        if self._health_gate is not None:
            self._health_gate.forget(container, key)

    # -- finding -----------------------------------------------------------------------------------------------

    def _container(self, step: Step) -> str:
        return step.id or self._creating.ids[step.container or ""]

    def _service(self, step: Step) -> Service:
        key = (step.stack or "", step.service or "")
        return self._services[key] if key in self._services else self._trials[key]

    def _network(self, step: Step) -> Network:
        return next(n for s in self._desired.stacks for n in s.networks if n.name == step.container)

    def _volume(self, step: Step) -> Volume:
        return next(v for s in self._desired.stacks for v in s.volumes if v.name == step.container)

    def _endpoint(self, step: Step) -> Endpoint:
        return next(e for e in self._service(step).endpoints if e.network == step.name)


def _is_stopped(service: Service, item: Container) -> bool:
    """Whether a rollout has stopped it: it took its restart policy first, and gives it another name afterwards."""
    unnamed = item.state == "exited" and item.restart == "no" != service.restart
    return unnamed or (item.name.endswith(STANDBY) and not item.running)


def _is_apart(service: Service, item: Container) -> bool:
    """Whether it runs without the service's aliases, as an interrupted rollout may have left it."""
    return any(aliases_missing(endpoint, item) for endpoint in service.endpoints)
