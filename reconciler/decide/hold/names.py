"""Container names that a plan needs, while containers that it must not touch have them. Pure.

The engine gives a name to one container, running or not. A conflict is found before anything is stopped: at the switch,
it would cause an outage in each try.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from reconciler.model.desired import ServiceKey
from reconciler.model.observed import ObservedState
from reconciler.model.plan import Action, Plan, Step
from reconciler.values import dataclass

_STARTS = (Action.START_CONTAINER, Action.RUN_ONCE)


@dataclass(frozen=True, slots=True)
class Taken:
    """`project`: the holder's Compose project, '' if it has none. `suspended`: this project is a suspended stack."""

    stack: str
    service: str
    name: str
    project: str
    suspended: bool = False

    @property
    def message(self) -> str:
        needs = f"{self.stack}/{self.service} needs the container name {self.name}, which a container"
        if self.suspended:
            return f"{needs} of the suspended stack {self.project} has"
        whose = f"of the project {self.project} " if self.project else ""
        return f"{needs} {whose}has that is not ours"

    @property
    def hint(self) -> str:
        if self.suspended:
            return "end the suspension of that stack, or choose another name; it is tried again by itself"
        return (
            f"docker rename {self.name} {self.name}-old, or docker rm {self.name} if nobody needs it; "
            "it is tried again by itself"
        )


def taken(plan: Plan, observed: ObservedState, suspended: Collection[str]) -> Iterator[Taken]:
    """`observed`: complete. `suspended`: stacks whose containers stay as they are."""
    kept = {item.name: item.stack for item in observed.containers if item.stack in suspended}
    for step, name in _needed(plan, observed):
        if name in kept:
            yield Taken(step.stack or "", step.service or "", name, kept[name], suspended=True)
        elif name in observed.others:
            yield Taken(step.stack or "", step.service or "", name, observed.others[name])


def _needed(plan: Plan, observed: ObservedState) -> Iterator[tuple[Step, str]]:
    """Final names of containers, and Compose's names of candidates until the switch."""
    created: dict[ServiceKey, int] = {}
    for step in plan.steps:
        if step.action is Action.CREATE_CONTAINER:
            key = (step.stack or "", step.service or "")
            first = max((item.number for item in observed.of(*key) if not item.oneoff), default=0) + 1
            created[key] = created.get(key, first - 1) + 1
            yield step, f"{key[0]}-{key[1]}-{created[key]}"
        if step.action in _STARTS or (step.action is Action.UPDATE_CONTAINER and step.change is None):
            yield step, step.name or ""
