"""At every effect of a rollout, and of its way back, the world does something else; quiet then leads to one end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reconciler.effects import Effects
from reconciler.errors import Transient
from reconciler.model.outcome import Reason
from tests.fakes.life import Life
from tests.loop.test_crashes import ODD_FLOWS, odd, odd_end, start_odd


class _At(Effects):
    """Something happens just before effect `number`."""

    def __init__(self, number: int, happens: Callable[[str], None]) -> None:
        super().__init__()
        self._number, self._happens = number, happens

    def point(self, name: str) -> None:
        super().point(name)
        if self.count == self._number:
            self._happens(name)


def engine_away(life: Life, effect: str) -> None:
    life.machine.go_away(30.0)


def disk_full(life: Life, effect: str) -> None:
    if not effect.startswith("note"):
        raise Transient(Reason.DISK_FAILED, "no space left on device")


def asked_to_end(life: Life, effect: str) -> None:
    life.stopping = True


def somebody_removes_a_container(life: Life, effect: str) -> None:
    names = sorted(life.ids())
    life.machine.vanishes(names[len(effect) % len(names)])


FAULTS = (engine_away, disk_full, asked_to_end)


def lived(flow: Callable[[Life], None], number: int, fault: Callable[[Life, str], None]) -> Life | None:
    """A life with this fault at this effect, and three quiet turns of the next process. None: it has fewer effects."""
    life = start_odd()
    life.start()
    life.machine.effects = _At(number, lambda effect: fault(life, effect))
    flow(life)
    life.turn()
    if life.machine.effects.count < number:
        return None
    life.stopping = False
    life.machine.advance(60.0)
    life.start()
    for _ in range(3):
        life.turn()
    return life


def check(life: Life, number: int) -> None:
    life.turn()
    assert life.effects == 0, number
    finals = [record["revision"] for record in life.journal.lines if record["kind"] == "ended" and record["final"]]
    assert sorted(finals) == sorted({*finals} & {*life.reporter.told}), number
    assert set(finals) == set(life.source.branch), number


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ODD_FLOWS)
def test_a_fault_at_any_effect_leads_to_the_same_end(name: str, fault: Callable[[Life, str], None]) -> None:
    quiet = start_odd()
    ODD_FLOWS[name](quiet)
    quiet.settle()
    number = 0
    while (life := lived(ODD_FLOWS[name], number := number + 1, fault)) is not None:
        assert odd_end(life) == odd_end(quiet), number
        check(life, number)
    assert number > 20


@pytest.mark.parametrize("name", ODD_FLOWS)
def test_a_container_removed_at_any_effect_comes_back(name: str) -> None:
    quiet = start_odd()
    ODD_FLOWS[name](quiet)
    quiet.settle()
    number = 0
    while (life := lived(ODD_FLOWS[name], number := number + 1, somebody_removes_a_container)) is not None:
        assert life.running() == quiet.running(), number
        check(life, number)
    assert number > 20


@pytest.mark.parametrize("name", ODD_FLOWS)
def test_a_newer_commit_at_any_effect_is_what_runs_in_the_end(name: str) -> None:
    def newer(life: Life, effect: str) -> None:
        life.push(**odd("3"))

    number = 0
    while (life := lived(ODD_FLOWS[name], number := number + 1, newer)) is not None:
        assert set(life.running().values()) == {"app:3", "side:1", "web:3", "old:1"}, number
        check(life, number)
    assert number > 20
