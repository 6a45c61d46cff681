"""What several files with lives share."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.effects import Effects
from reconciler.model.outcome import Outcome
from tests.fakes.life import Life, service
from tests.fakes.machine import Died


def proven(**services: dict[str, Any]) -> Life:
    """A life whose first commit is last good."""
    life = Life()
    life.push(**services)
    return settled(life)


def settled(life: Life) -> Life:
    turn = life.turn()
    assert turn.outcome is Outcome.SUCCEEDED, turn
    assert life.turn().outcome is Outcome.UNCHANGED
    assert life.effects == 0
    return life


def assert_quiet(life: Life) -> None:
    life.turn()
    assert life.effects == 0, life.machine.trace[-life.effects :]


class _DiesBefore(Effects):
    """The process is killed at the first effect whose name starts so."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def point(self, name: str) -> None:
        super().point(name)
        if name.startswith(self._name):
            raise Died


def dies_before(life: Life, effect: str) -> None:
    """A turn that is killed before this effect; the next process is ready."""
    life.machine.effects = _DiesBefore(effect)
    with pytest.raises(Died):
        life.turn()
    life.start()


def goes_down(life: Life, name: str) -> None:
    """The container exits, and its policy does not start it again."""
    life.machine.named(name).restart = "no"
    life.machine.exits(name, 1)


def sharing(version: str, **more: Any) -> dict[str, Any]:
    return service(f"side:{version}", health=False, network_mode="service:app", networks=None) | more
