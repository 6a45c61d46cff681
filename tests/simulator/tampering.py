"""What somebody with a shell does to one of our containers."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

from tests.fakes.containers import FakeContainer
from tests.fakes.machine import FakeMachine

MIB = 1 << 20
BY_HAND = ("doubled", "brought up by hand")
"""Kinds after which there is a container that we have not made."""


def _renamed(machine: FakeMachine, container: FakeContainer) -> None:
    container.name = f"mine-{container.id[:6]}"


def _left(machine: FakeMachine, container: FakeContainer) -> None:
    for network in sorted(container.networks):
        machine.leaves(container.name, network)


def _doubled(machine: FakeMachine, container: FakeContainer) -> None:
    """A second one of the same service, as `docker compose up --scale` by hand makes it."""
    id, number, taken = machine.new_id(), container.number + 7, {item.name for item in machine.containers.values()}
    while (name := f"{container.stack}-{container.service}-{number}") in taken:
        number += 1
    double = replace(deepcopy(container), id=id, name=name, number=number, host=None, spec=None)
    machine.containers[id] = double
    machine.run(double)


def _brought_up(machine: FakeMachine, container: FakeContainer) -> None:
    """The same made anew by the user's own `docker compose up`, without our labels."""
    machine.vanishes(container.name)
    again = replace(deepcopy(container), id=machine.new_id(), host=None, spec=None)
    machine.containers[again.id] = again
    machine.run(again)


ALL: dict[str, Callable[[FakeMachine, FakeContainer], None]] = {
    "paused": lambda machine, container: machine.pauses(container.name),
    "stopped": lambda machine, container: machine.halt(container, 1.0),
    "renamed": _renamed,
    "less memory": lambda machine, container: machine.is_updated(container.name, memory=32 * MIB),
    "more memory": lambda machine, container: machine.is_updated(container.name, memory=100 * MIB),
    "never restarted": lambda machine, container: machine.is_updated(container.name, restart="no"),
    "privileged": lambda machine, container: machine.is_updated(container.name, privileged=True),
    "disconnected": _left,
    "doubled": _doubled,
    "brought up by hand": _brought_up,
}
