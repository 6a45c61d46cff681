"""A plan carried out on paper: the observed state after each step, as on the engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from reconciler.model.desired import DesiredState, Service
from reconciler.model.observed import (
    COMPOSE_PROJECT,
    LABEL_HOST,
    Container,
    ObservedNetwork,
    ObservedState,
    ObservedVolume,
)
from reconciler.model.plan import Action, Plan, Step


@dataclass
class Paper:
    """`containers` by id. `closing`: the verdict is durable."""

    desired: DesiredState
    containers: dict[str, Container]
    networks: dict[str, ObservedNetwork]
    volumes: set[str]
    closing: bool = False

    def observed(self, like: ObservedState) -> ObservedState:
        """What an observer would see."""
        found = sorted(self.containers.values(), key=lambda item: (item.stack, item.service, item.number, item.id))
        volumes = {name: like.volumes[name] for name in self.volumes if name in like.volumes}
        made = dict.fromkeys(self.volumes - volumes.keys(), ObservedVolume())
        return replace(like, containers=tuple(found), networks=dict(self.networks), volumes=volumes | made)


def walk(plan: Plan, desired: DesiredState, observed: ObservedState) -> Iterator[tuple[Step, Paper]]:
    """Each step with the observed state after it."""
    there = {item.id: item for item in observed.containers}
    paper = Paper(desired, there, dict(observed.networks), set(observed.volumes))
    for position, step in enumerate(plan.steps):
        paper.closing = position >= len(plan.steps) - plan.closing
        _DO.get(step.action, _nothing)(paper, step)
        yield step, paper


def _nothing(paper: Paper, step: Step) -> None:
    """Waiting changes nothing."""


def _create(paper: Paper, step: Step) -> None:
    """Compose names by number: the next one that is free."""
    service = _service(paper, step)
    own = [item for item in paper.containers.values() if (item.stack, item.service) == service.key]
    number = max((item.number for item in own), default=0) + 1
    namespace_owners = [
        _namespace_owner(paper, paper.desired.services()[service.stack, name]) for name in service.shares
    ]
    made = Container(
        id=f"new {step.container}",
        name=f"new {step.container}",
        stack=service.stack,
        service=service.name,
        number=number,
        state="created",
        spec=service.spec,
        host=paper.desired.host,
        networks=frozenset(endpoint.network for endpoint in service.endpoints),
        memory=service.memory,
        restart="no",
        shares=frozenset(item.id for item in namespace_owners),
        detailed=True,
    )
    assert made.id not in paper.containers, "created twice"
    paper.containers[made.id] = made


def _namespace_owner(paper: Paper, service: Service) -> Container:
    """The container that was created for it, else the one that is kept."""
    made = paper.containers.get(f"new {service.container(1)}")
    matching = [item for item in paper.containers.values() if item.spec == service.spec]
    return made or min(matching, key=lambda item: (not item.running, item.name.endswith(".standby"), item.number))


def _stop(paper: Paper, step: Step) -> None:
    item = paper.containers[step.id or ""]
    paper.containers[item.id] = replace(item, state="exited", restart="no", name=step.name or item.name)


def _start(paper: Paper, step: Step) -> None:
    item = paper.containers[step.id or f"new {step.container}"]
    for namespace_owner in item.shares:
        assert paper.containers[namespace_owner].running, f"{item.name} has no namespace to live in"
    ended = step.action is Action.RUN_ONCE
    state = "exited" if ended else "running"
    started = "2026-01-01T00:00:00Z"
    paper.containers[item.id] = replace(item, state=state, exit_code=0, started_at=started, name=step.name or item.name)


def _update(paper: Paper, step: Step) -> None:
    item = paper.containers[step.id or f"new {step.container}"]
    if paper.closing:
        paper.containers[item.id] = replace(item, restart=_service(paper, step).restart)
    else:
        paper.containers[item.id] = replace(item, name=step.name or item.name)


def _remove(paper: Paper, step: Step) -> None:
    item = paper.containers.pop(step.id or "")
    assert not item.running, f"{item.name} is removed while it runs"


def _join(paper: Paper, step: Step) -> None:
    item = paper.containers[step.id or f"new {step.container}"]
    paper.containers[item.id] = replace(item, networks=item.networks | {step.name or ""})


def _network(paper: Paper, step: Step) -> None:
    name = step.container or ""
    if step.action is Action.REPLACE_NETWORK:
        for item in paper.containers.values():
            assert not (item.running and name in item.networks), f"{item.name} runs on {name}"
            paper.containers[item.id] = replace(item, networks=item.networks - {name})
    wanted = next(n for stack in paper.desired.stacks for n in stack.networks if n.name == name)
    labels = {COMPOSE_PROJECT: wanted.stack, LABEL_HOST: paper.desired.host}
    paper.networks[name] = ObservedNetwork(f"new {name}", name, labels, wanted.digest)


def _remove_network(paper: Paper, step: Step) -> None:
    del paper.networks[step.container or ""]


def _volume(paper: Paper, step: Step) -> None:
    assert step.container not in paper.volumes, "a volume that exists is never made again"
    paper.volumes.add(step.container or "")


def _service(paper: Paper, step: Step) -> Service:
    return paper.desired.services()[step.stack or "", step.service or ""]


_DO = {
    Action.CREATE_CONTAINER: _create,
    Action.STOP_CONTAINER: _stop,
    Action.START_CONTAINER: _start,
    Action.RUN_ONCE: _start,
    Action.UPDATE_CONTAINER: _update,
    Action.REMOVE_CONTAINER: _remove,
    Action.JOIN_ALIAS: _join,
    Action.CREATE_NETWORK: _network,
    Action.REPLACE_NETWORK: _network,
    Action.REMOVE_NETWORK: _remove_network,
    Action.CREATE_VOLUME: _volume,
}
