"""What the lives of several files have in common."""

from __future__ import annotations

from typing import Any

import pytest

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


def crash_before(life: Life, effect: str) -> None:
    """The next process dies just before the first effect whose name contains `effect`."""

    class Watching(type(life.machine.effects)):  # type: ignore[misc]
        def point(self, name: str) -> None:
            if effect in name:
                raise Died
            super().point(name)

    life.start()
    life.machine.effects = Watching()
    with pytest.raises(Died):
        life.turn()
    life.start()


def goes_down(life: Life, name: str) -> None:
    """The container exits, and its policy does not start it again."""
    life.machine.named(name).restart = "no"
    life.machine.exits(name, 1)


def sharing(version: str, **more: Any) -> dict[str, Any]:
    return service(f"side:{version}", health=False, network_mode="service:app", networks=None) | more
