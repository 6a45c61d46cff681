"""Finds objects of others that a commit would take over, and that need consent. Pure.

A Compose project, a network or a volume that this agent did not make belongs to somebody else, whatever its name: a
commit must not get its data by choosing its name. Objects that last good uses need no further consent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass  # noqa: TID251 - with an order

from reconciler.decide.plan.bounds import belongs_to_others
from reconciler.model.desired import DesiredState, Stack
from reconciler.model.history import Adopted
from reconciler.model.observed import COMPOSE_PROJECT, LABEL_HOST, Container, ObservedState

SHOWN = 8
"""Objects that a message names; the rest are counted."""


@dataclass(frozen=True, slots=True, order=True)
class Taking:
    """One object without a label of ours that a commit would use from now on. `kind`: container, network, volume.

    `stack`: the object's Compose project, else the stack that names it. `host`: the other reconciler host that made it,
    '' if none did.
    """

    stack: str
    kind: str
    name: str
    host: str = ""

    @property
    def key(self) -> str:
        """The key under which consent is recorded."""
        return f"{self.kind} {self.name}"


def takings(
    target: DesiredState,
    observed: ObservedState,
    base: DesiredState | None,
    adopted: Mapping[str, Adopted],
    stacks: Iterable[str],
) -> tuple[Taking, ...]:
    """`observed`: as from the engine, without an overlay. `stacks`: every stack that is or was this host's.

    A new stack takes over all objects of its project. A known stack takes over only objects that it names and `base`
    does not.
    """
    known = frozenset(stacks)
    found: set[Taking] = set()
    for stack in target.stacks:
        if not stack.suspended:
            found.update(_Judge(stack, observed, base, adopted, known, target.host).takings())
    return tuple(sorted(found))


def left(found: Iterable[Taking], adopt: Iterable[str], consented: Iterable[str]) -> tuple[Taking, ...]:
    """Takings without consent. `adopt`: stacks of the agent config; `consented`: keys of takings."""
    free, agreed = frozenset(adopt), frozenset(consented)
    return tuple(item for item in found if item.stack not in free and item.key not in agreed)


def told(found: Iterable[Taking]) -> str:
    """`container shop-db-1, network shop_default and 3 more (stack shop)`, for each stack."""
    by_stack: dict[str, list[Taking]] = {}
    for item in found:
        by_stack.setdefault(item.stack, []).append(item)
    return "; ".join(f"{_listed(items)} (stack {stack})" for stack, items in by_stack.items())


def remedy(found: Iterable[Taking], revision: str) -> str:
    """The hint: both ways to consent, and how to avoid it."""
    names = ", ".join(dict.fromkeys(item.stack for item in found))
    return (
        f"to take it over: `reconciler accept {revision[:12]}`, or `adopt: [{names}]` in the agent config, which a "
        "running agent reads at its next start; else give the stack, or the object, another name"
    )


def _listed(items: list[Taking]) -> str:
    names = [item.key + (f" of host {item.host}" if item.host else "") for item in items]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


class _Judge:
    """One stack of the target, compared with the observed state."""

    def __init__(
        self,
        stack: Stack,
        observed: ObservedState,
        base: DesiredState | None,
        adopted: Mapping[str, Adopted],
        stacks: frozenset[str],
        host: str,
    ) -> None:
        self._stack, self._observed, self._adopted, self._stacks, self._host = stack, observed, adopted, stacks, host
        self._services = {service.name for service in stack.services}
        proven = base.stacks if base else ()
        self._proven = base.services().keys() if base else frozenset()
        self._names = {
            "network": {item.name for one in proven for item in one.networks},
            "volume": {item.name for one in proven for item in one.volumes},
        }
        own = [item for item in observed.containers if item.stack == stack.name and self._is_ours(item)]
        # Objects that a managed container uses have consent, even if the journal is lost.
        self._names["network"] |= {name for item in own for name in item.networks}
        self._names["volume"] |= {mount.source for item in own for mount in item.mounts if mount.kind == "volume"}
        self._is_new = not own and stack.name not in {one.name for one in proven}

    def takings(self) -> Iterator[Taking]:
        for item in self._observed.containers:
            if self._takes(item):
                yield Taking(self._stack.name, "container", item.name)
        wanted = {
            "network": {item.name for item in self._stack.networks},
            "volume": {item.name for item in self._stack.volumes},
        }
        there = {
            "network": {name: item.labels for name, item in self._observed.networks.items()},
            "volume": {name: item.labels for name, item in self._observed.volumes.items()},
        }
        for kind, objects in there.items():
            for name, labels in objects.items():
                if self._takes_object(name, labels, name in wanted[kind]) and name not in self._names[kind]:
                    owner = labels.get(COMPOSE_PROJECT) or self._stack.name
                    yield Taking(owner, kind, name, labels.get(LABEL_HOST, ""))

    def _is_ours(self, item: Container) -> bool:
        return item.host == self._host or item.id in self._adopted

    def _takes(self, item: Container) -> bool:
        """A container of another host is refused; consent cannot allow it."""
        if item.stack != self._stack.name or item.host is not None or item.id in self._adopted:
            return False
        named = item.service in self._services and item.number > 0 and not item.oneoff
        return self._is_new or (named and (item.stack, item.service) not in self._proven)

    def _takes_object(self, name: str, labels: Mapping[str, str], wanted: bool) -> bool:
        if labels.get(LABEL_HOST) == self._host:
            return False
        if wanted:  # objects of another project are denied, so consent has no use
            return not belongs_to_others(labels, name, self._stack.name, self._stacks)
        return self._is_new and labels.get(COMPOSE_PROJECT) == self._stack.name
