"""A service that has to serve all the time while it is replaced: because of its order, or because its trial fails."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.fakes.containers import FakeContainer
from tests.fakes.machine import FakeMachine
from tests.simulator.wishes import BAD_VERSIONS, DEPENDENT, Push, Wish, corrected

ALONE = ("front", "web")
"""Services of which any number can run side by side, as long as nothing shares their namespaces."""
OF_ONE = 8
"""MiB that a container takes beside its limit: see docs/memory.md."""
OF_PORT = 3
"""MiB that a published port takes at most."""


@dataclass(frozen=True)
class Roll:
    """`fails`: what does not work in the new commit: 'nothing', 'itself', or 'a dependent', which starts after it.
    `tight`: there is no memory for one container more. `versions`, `replicas`: before and after."""

    name: str
    replicas: tuple[int, int]
    parallelism: int
    drain: str
    versions: tuple[int, int]
    fails: str
    tight: bool

    @property
    def is_trial(self) -> bool:
        """Only one container of the service can run; a second one is a trial."""
        return self.name == DEPENDENT


def before(push: Push, roll: Roll) -> Push:
    """A good commit after this one, with the service as it is before it is replaced."""
    gone = {"side"} if roll.name == "web" else set()
    gone |= {"job"} if roll.tight else set()
    there = {wish.name: corrected(wish) for wish in push.wishes if wish.name not in gone}
    wish = Wish(roll.name, roll.versions[0], memory=96)
    if roll.is_trial:
        there[roll.name] = replace(wish, trial=True)
    else:
        order = replace(wish, order="start-first", parallelism=roll.parallelism, drain=roll.drain)
        there[roll.name] = replace(order, replicas=roll.replicas[0])
    return _made(there, push.internal)


def after(push: Push, roll: Roll) -> Push:
    """The commit that replaces it."""
    there = {wish.name: wish for wish in push.wishes}
    new, bad = roll.versions[1], BAD_VERSIONS[roll.versions[1] % len(BAD_VERSIONS)]
    there[roll.name] = replace(there[roll.name], version=bad if roll.fails == "itself" else new)
    if not roll.is_trial:
        there[roll.name] = replace(there[roll.name], replicas=roll.replicas[1])
        if roll.fails == "a dependent":
            there[DEPENDENT] = replace(there.get(DEPENDENT, Wish(DEPENDENT, bad)), version=bad)
    return _made(there, push.internal)


def tight(push: Push, other: Push) -> Push:
    """The commit `push`, with no more memory than the larger of the two needs."""
    return replace(push, budget=max(_most(push), _most(other)))


def _made(there: dict[str, Wish], internal: bool) -> Push:
    return Push(tuple(there[name] for name in sorted(there)), internal)


def _most(push: Push) -> int:
    """MiB of all containers of a commit."""
    return sum((wish.memory + OF_ONE + OF_PORT * bool(wish.port)) * wish.replicas for wish in push.wishes)


def fallen(key: tuple[str, str], machine: FakeMachine) -> int:
    """Containers of a service without a health check that have taken over and then ended by themselves. They only had
    to start, so the old ones stop although these serve nobody any more."""
    own = (item for item in machine.containers.values() if (item.stack, item.service) == key)
    ended = (item for item in own if item.state in ("exited", "restarting") and not (item.healthcheck or item.leaving))
    return sum(any(item.service in names for names in item.aliases.values()) for item in ended)


@dataclass(frozen=True)
class Watch:
    """What must hold whenever the agent stops a container meanwhile. `floor`: least number of containers of the service
    that serve; None: it may be down. `most`: greatest number of them that run. `memory`: most MiB of all containers."""

    key: tuple[str, str]
    floor: int | None
    most: int
    memory: int

    @classmethod
    def over(cls, roll: Roll, after: Push, machine: FakeMachine, memory: int) -> Watch:
        """`memory`: MiB at most, where the commit does not say less."""
        key = ("shop", roll.name)
        before, wanted = machine.serving(key), next(wish.replicas for wish in after.wishes if wish.name == roll.name)
        serves = not roll.tight and (not roll.is_trial or roll.fails == "itself")
        most = max(before, wanted) + (roll.parallelism or wanted)
        return cls(key, min(before, wanted) if serves else None, most, after.budget or memory)

    def check(self, stopping: FakeContainer, machine: FakeMachine) -> None:
        running = [item for item in machine.containers.values() if item.active]
        used = sum((item.memory >> 20) + OF_ONE for item in running)
        assert used <= self.memory, f"{used} MiB run together, and {self.memory} are allowed"
        own = [item for item in running if (item.stack, item.service) == self.key]
        assert len(own) <= self.most, f"{len(own)} of {self.key} run together"
        if (stopping.stack, stopping.service) == self.key and machine.serves(stopping) and self.floor is not None:
            others = machine.serving(self.key) + fallen(self.key, machine) - 1
            assert others >= self.floor, f"{stopping.name} stops, and only {others} serve"
