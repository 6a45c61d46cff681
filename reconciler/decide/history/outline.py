"""The summary of a plan that the journal keeps for reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.decide import footprint
from reconciler.model.desired import DesiredState, ServiceKey
from reconciler.model.history import Planned
from reconciler.model.observed import ObservedState
from reconciler.model.plan import Action, Plan

MOST = 50
"""Services of each list that are kept, because a record is read at every start."""


def outline(plan: Plan, desired: DesiredState, observed: ObservedState) -> dict[str, Any]:
    """The fields of the record `planned`."""
    wanted, there = desired.services(), {(item.stack, item.service) for item in observed.containers if not item.oneoff}
    removed = {(str(step.stack), str(step.service)) for step in plan.steps if step.action is Action.REMOVE_CONTAINER}
    creates = sorted(wanted.keys() - there)
    changed = sorted({*plan.restarts, *creates})
    return {
        "restarts": _names(plan.restarts),
        "creates": _names(creates),
        "removes": _names(sorted(removed & there - wanted.keys())),
        "downtime": [[_name((d.stack, d.service)), d.at_most] for d in plan.downtime[:MOST] if d.at_most],
        "before": footprint.committed(observed) + sum(map(footprint.of_foreign, observed.foreign)),
        "after": plan.steps[-1].memory_after if plan.steps else None,
        "peak": plan.peak,
        "bound": plan.bound,
        "images": [[_name(key), wanted[key].image_ref] for key in changed[:MOST] if key in wanted],
    }


def planned_of(record: Mapping[str, Any]) -> Planned:
    """The reverse of `outline`."""
    return Planned(
        tuple(record["restarts"]),
        tuple(record["creates"]),
        tuple(record["removes"]),
        tuple((name, float(seconds)) for name, seconds in record["downtime"]),
        int(record["before"]),
        int(record["before"] if record["after"] is None else record["after"]),
        int(record["peak"]),
        int(record["bound"]),
        tuple((name, image) for name, image in record["images"]),
    )


def _names(keys: Sequence[ServiceKey]) -> list[str]:
    return [_name(key) for key in keys[:MOST]]


def _name(key: ServiceKey) -> str:
    return "/".join(key)
