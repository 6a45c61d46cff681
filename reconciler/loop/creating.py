"""Creates the containers of a plan. All are created before any starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from reconciler.decide.defaults import with_defaults
from reconciler.decide.plan.trials import trials_of
from reconciler.decide.slots import by_service, by_sharing, has_run, stable_name
from reconciler.errors import RolloutFailed, Transient
from reconciler.loop.ports import Applier, Clock, Creation, Observer
from reconciler.model.desired import DesiredState, Service, ServiceKey, Stack
from reconciler.model.documents import LONGEST_STOP
from reconciler.model.images import ImageDefaults
from reconciler.model.observed import Container, ObservedState, is_anonymous
from reconciler.model.outcome import Failure, Reason
from reconciler.model.plan import Action, Plan, Step
from reconciler.values import dataclass


@dataclass(frozen=True, slots=True)
class World:
    """The ports that a rollout works through. `longest_stop`: seconds that any container may take to stop."""

    observer: Observer
    applier: Applier
    clock: Clock
    longest_stop: float = LONGEST_STOP


class Creating:
    """`ids`: created containers by stable name; `names`: their names at creation."""

    def __init__(self, world: World, desired: DesiredState, observed: ObservedState, plan: Plan) -> None:
        self._world, self._desired, self._observed, self._plan = world, desired, observed, plan
        self._trials = trials_of(desired)
        self._services = {**self._trials, **desired.services()}
        self._there = by_service(observed)
        self.ids: dict[str, str] = {}
        self.names: dict[str, str] = {}

    def create(self, rest: Sequence[Step]) -> int:
        """All candidates that follow each other in the plan are created together, namespace owners before users."""
        batch: list[Step] = []
        for step in rest:
            if step.action is not Action.CREATE_CONTAINER:
                break
            batch.append(step)
        for stack in self._desired.stacks:
            steps = [step for step in batch if step.stack == stack.name]
            for wave in self._waves(steps):
                self._create_wave(stack, wave)
        return len(batch)

    def _waves(self, steps: Sequence[Step]) -> list[list[Step]]:
        """The steps in groups that are created one after the other. A service is created after its namespace owner, and
        one container at a time if each takes over anonymous volumes of its own."""
        waves: list[list[Step]] = []
        placed: dict[ServiceKey, int] = {}
        services = by_sharing([self._services[(step.stack or "", step.service or "")] for step in steps])
        for key in dict.fromkeys(service.key for service in services):
            first = max(
                (placed[(key[0], name)] + 1 for name in self._services[key].shares if (key[0], name) in placed),
                default=0,
            )
            own = [step for step in steps if (step.stack, step.service) == key]
            inherits = any(self._inherited(step) for step in own)
            for offset, step in enumerate(own):
                wave = first + (offset if inherits else 0)
                while len(waves) <= wave:
                    waves.append([])
                waves[wave].append(step)
                placed[key] = wave
        return waves

    def _create_wave(self, stack: Stack, wave: Sequence[Step]) -> None:
        if not wave:
            return
        before = self._world.observer.look([stack.name]).containers
        existing: dict[str, int] = {}
        for item in before:
            existing[item.service] = existing.get(item.service, 0) + (not item.oneoff)
        by_service: dict[ServiceKey, list[Step]] = {}
        for step in wave:
            by_service.setdefault(self._services[(step.stack or "", step.service or "")].key, []).append(step)
        creations = [
            Creation(
                with_defaults(self._as_made(key), self._observed.log_driver),
                len(steps),
                self._inherited(steps[0]),
                self._sharing(self._services[key]),
                self._first_name(key, existing.get(key[1], 0) + len(steps)),
            )
            for key, steps in by_service.items()
        ]
        self._world.applier.create(stack, creations, existing)
        self._learn(stack, by_service, {item.id for item in before})

    def _as_made(self, key: ServiceKey) -> Service:
        """The service as created. A trial leaves no volumes behind: volumes that its image declares are in memory."""
        service = self._services[key]
        if key not in self._trials:
            return service
        there = {mount["target"] for mount in service.config.get("volumes") or ()}
        declared = self._world.observer.defaults([service.image]).get(service.image, ImageDefaults()).volumes
        more = [{"type": "tmpfs", "target": target} for target in declared if target not in there]
        volumes = [*(service.config.get("volumes") or ()), *more]
        return replace(service, config={**service.config, "volumes": volumes}) if more else service

    def _first_name(self, key: ServiceKey, number: int) -> str:
        """Compose's name for the only container of a service can still be the name of another service's container."""
        usual = f"{key[0]}-{key[1]}-1"
        taken = any(item.name == usual for item in self._observed.containers)
        return f"{usual}.candidate" if number == 1 and taken else ""

    def _learn(self, stack: Stack, created: Mapping[ServiceKey, Sequence[Step]], before: set[str]) -> None:
        after = self._world.observer.look([stack.name]).containers
        for key, steps in created.items():
            new = sorted(
                (i for i in after if (i.stack, i.service) == key and i.id not in before), key=lambda i: i.number
            )
            if len(new) != len(steps):
                # Compose counts existing containers: one of them was removed or created meanwhile.
                raise Transient(
                    Reason.DEPENDENCY_NOT_READY,
                    f"Compose created {len(new)} containers for {key[0]}/{key[1]}, not {len(steps)}",
                    "somebody else changes the stack; it is tried again by itself",
                )
            for step, item in zip(steps, new, strict=True):
                self.ids[step.container or ""] = item.id
                self.names[item.id] = item.name

    def _inherited(self, step: Step) -> dict[str, str]:
        """target → anonymous volume of the container that this one replaces."""
        service = self._services[(step.stack or "", step.service or "")]
        named = {v.name for stack in self._desired.stacks for v in stack.volumes} | set(self._base_volumes())
        covered = {mount.get("target") for mount in service.config.get("volumes", ()) if mount.get("source")}
        old = self._predecessor(step)
        if old is None:
            return {}
        leaving = self._leaving()
        staying = (item for item in self._there.get(service.key, ()) if item.id not in leaving)
        kept = {mount.source for item in staying for mount in item.mounts}
        return {
            mount.target: mount.source
            for mount in old.mounts
            if mount.kind == "volume"
            and mount.source not in named
            and mount.target not in covered
            and is_anonymous(mount.source)
            and mount.source not in kept
        }

    def _predecessor(self, step: Step) -> Container | None:
        """The container that this one replaces. A process that was killed may have made it a standby already."""
        service = self._services[(step.stack or "", step.service or "")]
        leaving = self._leaving()
        olds = [item for item in self._there.get(service.key, ()) if item.id in leaving and has_run(item)]
        alone = olds if len(olds) == 1 and service.replicas == 1 else []
        named = [item for item in olds if item.name == step.container]
        return next(iter([*named, *(item for item in olds if stable_name(item) == step.container), *alone]), None)

    def _base_volumes(self) -> set[str]:
        return {name for name in self._observed.volumes if not is_anonymous(name)}

    def _sharing(self, service: Service) -> dict[str, str]:
        namespace_owners = {name: self._services[(service.stack, name)] for name in service.shares}
        return {name: self._namespace_owner(namespace_owner) for name, namespace_owner in namespace_owners.items()}

    def _namespace_owner(self, namespace_owner: Service) -> str:
        name = namespace_owner.container(1)
        if name in self.ids:
            return self.ids[name]
        leaving = self._leaving()
        matching = [
            i
            for i in self._there.get(namespace_owner.key, ())
            if i.spec == namespace_owner.spec and i.id not in leaving
        ]
        if not matching:
            message = f"{namespace_owner.stack}/{namespace_owner.name} has no container to share with"
            if not namespace_owner.replicas:
                hint = f"Give {namespace_owner.name} a replica, or share with another service."
                raise RolloutFailed(Failure(Reason.ENGINE_REFUSED, message), hint)
            hint = f"Somebody removed it during the rollout: the next turn makes {namespace_owner.name} anew."
            raise RolloutFailed(Failure(Reason.DEPENDENCY_NOT_READY, message), hint)
        return min(matching, key=lambda i: (not i.running, i.number)).id

    def _leaving(self) -> set[str]:
        return {step.id or "" for step in self._plan.steps if step.action is Action.REMOVE_CONTAINER}
