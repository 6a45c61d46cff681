"""The input of a plan: desired and observed state, paired once."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from reconciler.decide.drift.corrections import NOTHING, Corrections
from reconciler.decide.drift.grace import grace_of
from reconciler.decide.plan.ranges import chosen, taken, taker
from reconciler.decide.slots import pair, removed
from reconciler.model.desired import DesiredState, Network, Service, ServiceKey, Volume, wanted_networks
from reconciler.model.observed import COMPOSE_PROJECT, LABEL_HOST, Container, ObservedNetwork, ObservedState
from reconciler.model.outcome import Intent

NETWORK_ID = re.compile(r"[0-9a-f]{64}")


class StateDiff:
    """`pairings` of every service in `order`; `gone`: containers of removed services.

    `stacks`: every stack that is or was this host's. `services`: as desired; `known`: as in last good.
    `replaced`: networks whose definition has changed. `unwanted`: our own networks that nobody uses any more.
    `yielding`: replaced and unwanted networks whose range or bridge another network takes → why; they are removed
    first. `late`: absent networks that can be made only when these are gone, or when replaced ones have their ranges.
    `namespace_users`: the namespace users of each service.
    """

    def __init__(
        self,
        desired: DesiredState,
        observed: ObservedState,
        intent: Intent,
        base: DesiredState | None,
        ran_once: frozenset[str] = frozenset(),
        corrections: Corrections = NOTHING,
        stacks: Collection[str] = (),
    ) -> None:
        self.desired, self.observed, self.intent, self.base, self.corrections = (
            desired,
            observed,
            intent,
            base,
            corrections,
        )
        self.stacks = stacks
        self.services, self.known = desired.services(), base.services() if base else {}
        self.replaced = {n.name for n in self.networks() if self._network_differs(n)}
        self.unwanted = {n.name: n for n in self._unwanted()}
        self.yielding, self.late = self._changing_hands()
        self._going = {*self.replaced, *self.yielding}
        lost = {item.id for item in observed.containers if self.lost_network(item)}
        self.pairings = pair(desired, observed, ran_once, corrections.replaced | lost)
        self.gone = removed(desired, observed)
        self.order = [s for s in topological(self.services) if s.key in self.pairings]
        self.wanted = {slot.name: slot for pairing in self.pairings.values() for slot in pairing.slots}
        self.namespace_users: dict[ServiceKey, list[Service]] = {}
        for service in reversed(self.order):
            for namespace_owner in service.namespace_owners:
                self.namespace_users.setdefault(namespace_owner, []).append(service)

    def grace(self, item: Container, longest: float) -> float:
        """Seconds that a container of ours may take to stop."""
        key = (item.stack, item.service)
        was, wanted = self.known.get(key), self.services.get(key)
        return grace_of(item, was=was, wanted=wanted, intent=self.intent, longest=longest)

    def made_anew(self, key: ServiceKey) -> bool:
        """Whether a container of the service is gone and must be made anew. A stopped one is only started again."""
        pairing = self.pairings[key]
        whole = self.intent is Intent.REPAIR or len(pairing.missing) == len(pairing.slots)  # else it is scaled
        return key in self.known and whole and bool(pairing.missing)

    def keys_in_order(self) -> list[ServiceKey]:
        return [service.key for service in self.order]

    def is_lost(self, volume: Volume) -> bool:
        """Whether a missing volume existed with last good. A volume whose options name the place of its data is not
        empty after it is made again."""
        base = self.base.stacks if self.base else ()
        known = {item.name for stack in base if not stack.suspended for item in stack.volumes}
        elsewhere = bool(volume.definition.get("driver_opts")) or volume.definition.get("driver", "local") != "local"
        return (self.intent is not Intent.ADVANCE or volume.name in known) and not elsewhere

    def networks(self) -> Sequence[Network]:
        """Those with a chosen range first: the engine gives one without a choice any range that is free."""
        found = (n for stack in self.desired.stacks if not stack.suspended for n in stack.networks)
        return sorted(found, key=lambda network: not chosen(network))

    def _network_differs(self, network: Network) -> bool:
        there = self.observed.networks.get(network.name)
        return there is not None and there.digest is not None and there.digest != network.digest

    def absent(self) -> list[Network]:
        """Networks that services use and that must be made."""
        stacks = (stack for stack in self.desired.stacks if not stack.suspended)
        used = {endpoint.network for stack in stacks for service in stack.services for endpoint in service.endpoints}
        return [n for n in self.networks() if n.name in used and n.name not in self.observed.networks]

    def _unwanted(self) -> Iterable[ObservedNetwork]:
        """Only our own networks: of a stack of this host, and made by this host's agent."""
        wanted = wanted_networks(self.desired)
        own = {item.id for item in self.observed.containers}
        suspended = {stack.name for stack in self.desired.stacks if stack.suspended}
        for name, network in sorted(self.observed.networks.items()):
            stack = network.labels.get(COMPOSE_PROJECT)
            ours = stack in self.stacks and network.labels.get(LABEL_HOST) == self.desired.host
            # The engine refuses while an unmanaged container is in it: it is removed after that container has left.
            if ours and name not in wanted and stack not in suspended and network.containers <= own:
                yield network

    def _changing_hands(self) -> tuple[dict[str, str], set[str]]:
        absent = self.absent()
        changed = [n for n in self.networks() if n.name in self.replaced]
        yielding = {}
        for name in sorted({*self.replaced, *self.unwanted}):
            found = taker(self.observed.networks[name], [*absent, *changed])
            if found is not None:
                yielding[name] = f"{found[0].name} takes its {found[1]}"
        gone = [self.observed.networks[name] for name in yielding]
        late = [n for n in absent if any(taken(there, n) for there in gone)]
        if any(map(chosen, (*late, *changed))):  # the engine could give their ranges to a network without a choice
            late += [n for n in absent if not chosen(n)]
        return yielding, {n.name for n in late}

    def moved(self) -> set[ServiceKey]:
        """Services with containers in a network that goes, or with kept ones that belong into it, and services in their
        namespaces: they stop before that."""

        def is_moved(service: Service) -> bool:
            pairing = self.pairings[service.key]
            kept = [slot.container for slot in pairing.slots if slot.container is not None]
            belongs = bool(kept) and any(endpoint.network in self.replaced for endpoint in service.endpoints)
            return belongs or any(self.loses_network(item) for item in (*pairing.extras, *kept))

        return self._with_namespace_users(is_moved)

    def made_late(self, moved: Collection[ServiceKey]) -> set[ServiceKey]:
        """`moved`, services on a late or replaced network, and services in their namespaces: their containers are
        created after the networks."""
        late = self.late | self.replaced
        return self._with_namespace_users(
            lambda service: service.key in moved or any(end.network in late for end in service.endpoints)
        )

    def _with_namespace_users(self, chosen: Callable[[Service], bool]) -> set[ServiceKey]:
        found: set[ServiceKey] = set()
        for service in self.order:
            if chosen(service) or not found.isdisjoint(service.namespace_owners):
                found.add(service.key)
        return found

    def lost_network(self, item: Container) -> bool:
        """Whether the container can never start again: it has the id of a network that is replaced or gone.

        Compose writes the id for an external network; a name would lead to the network that has it now.
        """
        if not self.observed.complete or not NETWORK_ID.fullmatch(item.network_mode):
            return False
        lasting = {n.id for name, n in self.observed.networks.items() if name not in self._going}
        return item.network_mode not in lasting

    def connected(self, item: Container) -> frozenset[str]:
        """Networks that the container is in: of this name, not one that had the name before."""
        ids = {name: network.id for name, network in self.observed.networks.items()}
        stale = {name for name, id in item.network_ids.items() if name not in ids or ids[name] != id}
        return item.networks - stale if self.observed.complete else item.networks

    def loses_network(self, item: Container) -> bool:
        return not self._going.isdisjoint(item.networks)


def needs(service: Service) -> set[ServiceKey]:
    """Dependencies of this service that are in the desired state."""
    return {*((d.stack, d.service) for d in service.depends_on), *service.namespace_owners}


def topological(services: Mapping[ServiceKey, Service]) -> list[Service]:
    """Dependencies first; among equals by name. Admission rejects cycles."""
    ordered: dict[ServiceKey, Service] = {}

    def visit(service: Service) -> None:
        if service.key in ordered:
            return
        for key in sorted(needs(service)):
            if key in services:
                visit(services[key])
        ordered[service.key] = service

    for key in sorted(services):
        visit(services[key])
    return list(ordered.values())
