"""What people push in a simulated life, and what must run once it was accepted.

Knows which versions of which image are good, and nothing of the code under test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from tests.fakes.behaviour import (
    STEADY,
    Behaviour,
    always_starting,
    crashing,
    flapping,
    healthy,
    never_healthy,
    one_shot,
    out_of_memory,
    refusing,
)
from tests.fakes.life import service

GOOD_VERSIONS, BAD_VERSIONS = (1, 2, 3), (7, 8)
GOOD = {
    "steady": STEADY,
    "slow": healthy(4.0),
    "very slow": healthy(15.0),
    "crashes twice": crashing(0.3, times=2),
    "stubborn": Behaviour(ignores_stop=True),
}
BAD = {
    "crashes": crashing(0.5),
    "ends": crashing(0.1, code=0),
    "out of memory": out_of_memory(0.3, kills=True),
    "refused": refusing("exec: not found"),
}
BAD_WITH_PROBE = BAD | {
    "unhealthy": never_healthy(),
    "flapping": flapping(1.0),
    "starting": always_starting(),
}
GOOD_JOBS = {"job": one_shot(), "slow job": one_shot(3.0)}
BAD_JOBS = {"job fails": one_shot(code=3), "job refused": refusing("exec: not found")}
ALL = GOOD | BAD_WITH_PROBE | GOOD_JOBS | BAD_JOBS
PROBED = ("db", "web", "reader")
NEIGHBOUR = "reader"
"""The service of the second stack, blog."""
DEPENDENT = "admin"
"""It starts after others."""
HOLDERS = ("admin", "cache", "db")
"""Services that may have what only one container can have."""
SUBNET = "172.30.0.0/24"
PORTS, ADDRESSES, VOLUMES = (8001, 8002), (10, 11), ("data", "more")
FIRST: dict[str, Any] = {"port": PORTS[0], "address": ADDRESSES[0], "volume": VOLUMES[0]}
CHANGES = (*FIRST, "network", "replicas", "volume's name")
OTHER_NAME = {"data": "more", "more": "data"}


@dataclass(frozen=True)
class Wish:
    """One service of a commit. `memory` in MiB. `port`: published; 0: none. `address`: the last byte of the one that it
    chooses in the network; 0: any. `volume`: what it writes, for itself alone; '': nothing. `order`: in which it is
    replaced; '': the file says nothing. `parallelism`: how many at a time; 0: all. `trial`: it is tried first. `drain`:
    how long the old one serves beside the new one; '': the file says nothing."""

    name: str
    version: int
    replicas: int = 1
    memory: int = 64
    port: int = 0
    address: int = 0
    volume: str = ""
    order: str = ""
    parallelism: int = 1
    trial: bool = False
    drain: str = ""

    @property
    def image(self) -> str:
        return f"{self.name}:{self.version}"


class Flaw(StrEnum):
    """What is wrong with a commit, besides the versions in it."""

    NONE = "none"
    INVALID = "invalid"
    GREEDY = "over the budget"
    NO_IMAGE = "an image that nobody has"
    NO_DOCUMENT = "without this host's document"


@dataclass(frozen=True)
class Push:
    """What a commit wants. `internal`: the stack's network has this property. `budget`: MiB beside the reserve, all of
    them for services; 0: as much as ever needed."""

    wishes: tuple[Wish, ...]
    internal: bool = False
    flaw: Flaw = Flaw.NONE
    budget: int = 0


def is_good(push: Push) -> bool:
    """Whether the commit is flawless and every version in it works."""
    return push.flaw is Flaw.NONE and all(wish.version in GOOD_VERSIONS for wish in push.wishes)


def expected(push: Push) -> dict[str, str]:
    """name → image of what runs once the commit has been applied."""
    return {name: wish.image for wish in applied(push) if wish.name != "job" for name in names(wish)}


def applied(push: Push) -> tuple[Wish, ...]:
    return () if push.flaw is Flaw.NO_DOCUMENT else push.wishes


def changed(push: Push, thing: str, order: Sequence[str]) -> Push:
    """A good commit after this one, in which something that only one can have changes hands, or the ground on which
    services stand. `order`: services among whom it goes round."""
    there = {wish.name: corrected(wish) for wish in push.wishes}
    internal = push.internal
    match thing:
        case "network":
            internal = not internal
            there.setdefault(NEIGHBOUR, Wish(NEIGHBOUR, GOOD_VERSIONS[0]))
        case "replicas":
            cache = there.get("cache", Wish("cache", GOOD_VERSIONS[0], 3))
            number = 3 if cache.replicas == 2 else 2
            alone = Wish("cache", cache.version, number, 64 if cache.memory == 96 else 96)
            there["cache"] = replace(alone, order=cache.order, parallelism=cache.parallelism)
        case "volume's name":
            there = {
                name: replace(wish, volume=OTHER_NAME.get(wish.volume, wish.volume)) for name, wish in there.items()
            }
        case _:
            there = _handed_over(there, thing, order)
    return Push(tuple(there[name] for name in sorted(there)), internal)


def renamed(push: Push, ending: str) -> Push:
    """A good commit after this one, in which each volume has another key."""
    there = map(corrected, push.wishes)
    new = (replace(wish, volume=f"{wish.volume.partition('-')[0]}{ending}") if wish.volume else wish for wish in there)
    return Push(tuple(new), push.internal)


def corrected(wish: Wish) -> Wish:
    return wish if wish.version in GOOD_VERSIONS else replace(wish, version=GOOD_VERSIONS[0])


def _handed_over(there: dict[str, Wish], thing: str, order: Sequence[str]) -> dict[str, Wish]:
    """What each has of this kind goes to the next one; where nobody has any, the first one gets it. New holders come
    along if they are not there."""
    held = [getattr(there[name], thing) if name in there else type(FIRST[thing])() for name in order]
    given = [held[-1], *held[:-1]] if any(held) else [FIRST[thing], *held[1:]]
    new = {
        name: replace(there.get(name, Wish(name, GOOD_VERSIONS[0])), replicas=1, **{thing: what})
        for name, what in zip(order, given, strict=True)
        if name in there or what
    }
    return there | new


def has_neighbour(push: Push) -> bool:
    """Whether the commit has the second stack."""
    return any(wish.name == NEIGHBOUR for wish in push.wishes)


def names(wish: Wish) -> list[str]:
    if wish.name == "admin":
        return ["the-admin"]
    stack = "blog" if wish.name == NEIGHBOUR else "shop"
    return [f"{stack}-{wish.name}-{number}" for number in range(1, wish.replicas + 1)]


def model(push: Push) -> dict[str, Any]:
    """The commit as Compose's canonical model."""
    own = [wish for wish in push.wishes if wish.name != NEIGHBOUR]
    wanted = {wish.name for wish in own}
    services = {wish.name: _service(wish, wanted) for wish in own}
    first = services[own[0].name]
    if push.flaw is Flaw.GREEDY:
        first["mem_limit"] = str(4 << 30)
    if push.flaw is Flaw.NO_IMAGE:
        first["image"] = "nobody-has-it:1"
    return {
        "services": services,
        "volumes": {wish.volume: {} for wish in own if wish.volume},
        "networks": {"default": {"internal": push.internal, "ipam": {"config": [{"subnet": SUBNET}]}}},
    }


def _service(wish: Wish, wanted: set[str]) -> dict[str, Any]:
    more: dict[str, Any] = {"mem_limit": str(wish.memory << 20)}
    deploy: dict[str, Any] = {"replicas": wish.replicas} if wish.replicas != 1 else {}
    if wish.order:
        deploy["update_config"] = {"order": wish.order, "parallelism": wish.parallelism}
    if deploy:
        more["deploy"] = deploy
    if wish.volume:
        more["volumes"] = [{"type": "volume", "source": wish.volume, "target": "/data"}]
    if wish.port:
        more["ports"] = [{"mode": "ingress", "target": 80, "published": str(wish.port), "protocol": "tcp"}]
    if wish.address:
        more["networks"] = {"default": {"ipv4_address": f"172.30.0.{wish.address}"}}
    if wish.name == "admin":
        more["container_name"] = "the-admin"
    if wish.name == "job":
        more["restart"] = "no"
    if wish.name == "side":
        more["network_mode"] = "service:web"
    after = {name: word for name, word in _conditions(wish.name).items() if name in wanted}
    made = service(wish.image, health=wish.name in PROBED, after=after, **more)
    settings: dict[str, Any] = {"trial": True} if wish.trial else {}
    settings |= {"drain": wish.drain} if wish.drain else {}
    if settings:
        made["x-reconciler"] = settings
    if wish.name == "side":
        del made["networks"]
    return made


def neighbour(push: Push) -> dict[str, Any]:
    """The second stack: one service in the network of the first."""
    wish = next(wish for wish in push.wishes if wish.name == NEIGHBOUR)
    more: dict[str, Any] = {"mem_limit": str(wish.memory << 20)}
    if wish.order:
        more["deploy"] = {"update_config": {"order": wish.order}}
    made = service(wish.image, networks={"front": None}, **more)
    return {"services": {wish.name: made}, "networks": {"front": {"name": "shop_default", "external": True}}}


def _conditions(name: str) -> dict[str, str]:
    """What a service waits for, where the commit has it."""
    if name == "job":
        return {"db": "service_healthy"}
    if name == "web":
        return {"db": "service_healthy", "job": "service_completed_successfully", "cache": "service_started"}
    return {"web": "service_healthy", "front": "service_started"} if name == DEPENDENT else {}
