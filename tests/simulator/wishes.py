"""What people push in a simulated life, and what must run once it was accepted.

Knows which versions of which image are good, and nothing of the code under test.
"""

from __future__ import annotations

from dataclasses import dataclass
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
PROBED = ("db", "web")


@dataclass(frozen=True)
class Wish:
    """One service of a commit. `memory` in MiB."""

    name: str
    version: int
    replicas: int = 1
    memory: int = 64

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
    """What a commit wants. `internal`: the stack's network has this property."""

    wishes: tuple[Wish, ...]
    internal: bool = False
    flaw: Flaw = Flaw.NONE


def is_good(push: Push) -> bool:
    """Whether the commit is flawless and every version in it works."""
    return push.flaw is Flaw.NONE and all(wish.version in GOOD_VERSIONS for wish in push.wishes)


def expected(push: Push) -> dict[str, str]:
    """name → image of what runs once the commit has been applied."""
    if push.flaw is Flaw.NO_DOCUMENT:
        return {}
    return {name: wish.image for wish in push.wishes if wish.name != "job" for name in names(wish)}


def names(wish: Wish) -> list[str]:
    if wish.name == "admin":
        return ["the-admin"]
    return [f"shop-{wish.name}-{number}" for number in range(1, wish.replicas + 1)]


def model(push: Push) -> dict[str, Any]:
    """The commit as Compose's canonical model."""
    wanted = {wish.name for wish in push.wishes}
    services = {wish.name: _service(wish, wanted) for wish in push.wishes}
    first = services[push.wishes[0].name]
    if push.flaw is Flaw.GREEDY:
        first["mem_limit"] = str(4 << 30)
    if push.flaw is Flaw.NO_IMAGE:
        first["image"] = "nobody-has-it:1"
    return {
        "services": services,
        "volumes": {"data": {}} if "db" in wanted else {},
        "networks": {"default": {"internal": True}} if push.internal else {},
    }


def _service(wish: Wish, wanted: set[str]) -> dict[str, Any]:
    more: dict[str, Any] = {"mem_limit": str(wish.memory << 20)}
    if wish.replicas != 1:
        more["deploy"] = {"replicas": wish.replicas}
    if wish.name == "db":
        more["volumes"] = [{"type": "volume", "source": "data", "target": "/data"}]
    if wish.name == "admin":
        more["container_name"] = "the-admin"
    if wish.name == "job":
        more["restart"] = "no"
    if wish.name == "side":
        more["network_mode"] = "service:web"
    after = {name: word for name, word in _conditions(wish.name).items() if name in wanted}
    made = service(wish.image, health=wish.name in PROBED, after=after, **more)
    if wish.name == "side":
        del made["networks"]
    return made


def _conditions(name: str) -> dict[str, str]:
    """What a service waits for, where the commit has it."""
    if name == "job":
        return {"db": "service_healthy"}
    if name == "web":
        return {"db": "service_healthy", "job": "service_completed_successfully", "cache": "service_started"}
    return {"web": "service_healthy"} if name == "admin" else {}
